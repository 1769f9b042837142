-- When each source was last heard of, whoever it spoke of: the greatest broker_time of its rows. One row for each
-- partition, so that projectors of different partitions never wait for each other.
create table source_heard (
    organisation text collate "C" not null,
    system text collate "C" not null,
    topic text not null,
    partition integer not null,
    broker_time timestamptz not null,
    primary key (organisation, system, topic, partition)
) with (fillfactor = 50);

-- The numbers that a source which numbers its statements gave to those of a person, each once.
create table sequence_seen (
    person_key text collate "C" not null,
    organisation text collate "C" not null,
    system text collate "C" not null,
    sequence bigint not null,
    primary key (person_key, organisation, system, sequence)
);

-- The same, counted: how many numbers are missing between the lowest and the highest.
create table sequence_span (
    person_key text collate "C" not null,
    organisation text collate "C" not null,
    system text collate "C" not null,
    lowest bigint not null,
    highest bigint not null,
    seen bigint not null,
    -- numeric: past the door anybody may give the least number and the greatest.
    missing numeric not null generated always as (highest::numeric - lowest + 1 - seen) stored,
    primary key (person_key, organisation, system)
);
create index on sequence_span (organisation, system) where missing > 0;

-- Which of the publisher's systems said it; null: not known, it may be any.
alter table parked add column system text;
create index on parked (key);

-- What was projected before. A rank below that of 1973 is a number, not a time.
insert into source_heard (organisation, system, topic, partition, broker_time)
    select organisation, system, 'care.record', partition, max(broker_time) from statement group by 1, 2, 4
    union all
    select organisation, system, 'care.directory', partition, max(broker_time) from directory_statement group by 1, 2, 4;
insert into sequence_seen (person_key, organisation, system, sequence)
    select distinct person_key, organisation, system, rank from statement
    where rank between 0 and 99999999999999;
insert into sequence_span (person_key, organisation, system, lowest, highest, seen)
    select person_key, organisation, system, min(sequence), max(sequence), count(*) from sequence_seen group by 1, 2, 3;
