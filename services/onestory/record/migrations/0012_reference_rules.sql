-- The rules that resolved the references of an event (events.py, REFERENCE_RULES). Earlier releases wrote no number: 1.
alter table event add column reference_rules smallint not null default 1;
create index event_of_earlier_rules on event (published_at) where reference_rules < 2;
