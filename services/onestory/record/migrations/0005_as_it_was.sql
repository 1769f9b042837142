-- The record as it was. What stood at a time follows from the statements that had arrived by then, but for what was
-- changed in place: a repetition that arrives late lowers clocks. Each row here is one such repetition, with the clocks as
-- they were until its broker time. Who asks for an earlier time takes the greatest of the later rows: clocks only sink.
create table lowering (
    person_key text collate "C" not null,
    shared_id text collate "C" not null,
    event_id uuid not null,
    "offset" bigint not null,
    broker_time timestamptz not null,
    rank bigint not null,
    published_at timestamptz not null,
    recorded_at timestamptz not null,
    primary key (person_key, shared_id, event_id, "offset")
);

create table whole_list_lowering (
    person_key text collate "C" not null,
    organisation text not null,
    system text not null,
    resource_type text not null,
    event_id uuid not null,
    "offset" bigint not null,
    broker_time timestamptz not null,
    rank bigint not null,
    published_at timestamptz not null,
    primary key (person_key, organisation, system, resource_type, event_id, "offset")
);

-- When the record got it. What is there already has it from its statements; a list of nothing has only the time at which
-- it was published, a moment earlier. A rebuild writes all of them exactly.
alter table whole_list add column broker_time timestamptz;
update whole_list l set broker_time = coalesce(
    (select min(s.broker_time) from statement s where s.person_key = l.person_key and s.event_id = l.event_id),
    l.published_at
);
alter table whole_list alter column broker_time set not null;

-- A person's resources that were asserted of others too.
create index on claimant (person_key);
