-- The medicines, substances and devices of the directory that the last published summary of a person looked up, by id.
alter table summary add column directory text[] not null default '{}';
create index on summary using gin (directory);
