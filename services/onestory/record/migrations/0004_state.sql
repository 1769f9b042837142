-- When the source recorded it: what rank says too, unless the source numbers its statements.
alter table statement add column recorded_at timestamptz;
update statement set recorded_at =
    case when rank > 100000000000000 then 'epoch'::timestamptz + rank * interval '1 microsecond' else published_at end;
alter table statement alter column recorded_at set not null;
alter table directory_statement add column recorded_at timestamptz;
update directory_statement set recorded_at =
    case when rank > 100000000000000 then 'epoch'::timestamptz + rank * interval '1 microsecond' else published_at end;
alter table directory_statement alter column recorded_at set not null;

-- What is read of a person changed when the version did: it is the id of the transaction that last changed it. Readers
-- keep what they loaded while it stands. Versions are equal or not; they do not say which one is later.
create table person_state (
    person_key text collate "C" primary key,
    version bigint not null
);
insert into person_state (person_key, version) select person_key, 0 from person;
