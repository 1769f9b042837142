-- Patients by name and birth date. One row for each Patient statement that has both; in force while that statement is
-- visible, so nothing here follows corrections, retractions and moves.
create table patient_name (
    person_key text collate "C" not null,
    shared_id text collate "C" not null,
    event_id uuid not null,
    -- As it was stated: a day, a month or a year.
    birth_date text collate "C" not null,
    -- The words of its names in plain letters.
    forms text[] not null,
    primary key (person_key, shared_id, event_id)
);
create index on patient_name (birth_date);

-- What `onestory migrate` must still fill from statements that were there before.
create table unfilled (name text primary key);
insert into unfilled select 'patient_name' where exists (select from statement where resource_type = 'Patient');
