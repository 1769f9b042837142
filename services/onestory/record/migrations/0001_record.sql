-- Keys and ids collate "C": they are compared as bytes, whatever language the database speaks.

-- How far each partition of each topic has been projected. Moved first in every transaction, by compare-and-set.
create table position (
    topic text not null,
    partition integer not null,
    next_offset bigint not null,
    -- The greatest broker time seen in the partition: never goes backwards, the same on every rebuild.
    broker_time timestamptz not null,
    primary key (topic, partition)
);

-- A person key leads to the identifier behind it: the NHS number, or a provisional identity.
create table person (
    person_key text collate "C" primary key,
    system text not null,
    value text not null
);

-- Each event once, with its earliest published_at. The digest tells a repetition from the same id with other content.
-- message_key is the Kafka key: the person key, or the id of the directory resource.
create table event (
    message_key text collate "C" not null,
    event_id uuid not null,
    digest bytea not null,
    published_at timestamptz not null,
    primary key (message_key, event_id)
);

-- All that was ever said: the history. (rank, published_at, event_id) is the order key; rank is the sequence of sources
-- that declare one, else recorded_at in microseconds. The version id of a resource is its event id.
create table statement (
    person_key text collate "C" not null,
    shared_id text collate "C" not null,
    event_id uuid not null,
    rank bigint not null,
    published_at timestamptz not null,
    resource_type text not null,
    organisation text not null,
    system text not null,
    local_id text not null,
    operation text not null check (operation in ('assert', 'retract')),
    -- What the read API serves, versionId and lastUpdated in place; null for a retraction.
    content bytea,
    -- Of the content as it was published, without clocks and offsets.
    content_digest bytea not null,
    -- lastUpdated.
    broker_time timestamptz not null,
    partition integer not null,
    "offset" bigint not null,
    primary key (person_key, shared_id, event_id)
);

-- Which statement stands for each resource of a person, and whether it is part of the record.
create table current (
    person_key text collate "C" not null,
    resource_type text collate "C" not null,
    shared_id text collate "C" not null,
    event_id uuid not null,
    rank bigint not null,
    published_at timestamptz not null,
    organisation text not null,
    system text not null,
    operation text not null,
    content_digest bytea not null,
    -- The source has since said it of another person.
    away boolean not null default false,
    -- The source's latest whole list of this type does not have it.
    retired boolean not null default false,
    visible boolean generated always as (operation = 'assert' and not away and not retired) stored,
    primary key (person_key, resource_type, shared_id)
);

-- A source's whole lists of a type for a person. What is older than the one with the greatest key, and not in it, is
-- retired. All are kept, because an earlier published_at that arrives late may make another one the greatest.
create table whole_list (
    person_key text collate "C" not null,
    organisation text not null,
    system text not null,
    resource_type text not null,
    event_id uuid not null,
    rank bigint not null,
    published_at timestamptz not null,
    primary key (person_key, organisation, system, resource_type, event_id)
);

-- One resource, one person: who the source's latest assertion of a resource is about. Not keyed by person, on purpose:
-- its row is the lock under which a resource moves from one person to another.
create table owner (
    resource_hash text collate "C" primary key,
    person_key text not null,
    rank bigint not null,
    published_at timestamptz not null,
    event_id uuid not null,
    -- The person that the last change of this row took the resource from; null when it took it from nobody.
    former_key text
);

-- Every person of whom a resource was asserted, for the resources that were asserted of more than one.
create table claimant (
    resource_hash text collate "C" not null,
    person_key text collate "C" not null,
    primary key (resource_hash, person_key)
);

-- What a Patient statement says of another identity of the same person. In force while that statement is visible.
create table patient_link (
    other_key text collate "C" not null,
    person_key text collate "C" not null,
    shared_id text collate "C" not null,
    event_id uuid not null,
    kind text not null check (kind in ('replaces', 'replaced-by', 'provisional')),
    primary key (person_key, shared_id, event_id, other_key)
);
create index on patient_link (other_key);

-- The directory: the same rules, about no person.
create table directory_statement (
    shared_id text collate "C" not null,
    event_id uuid not null,
    rank bigint not null,
    published_at timestamptz not null,
    resource_type text not null,
    organisation text not null,
    system text not null,
    local_id text not null,
    operation text not null check (operation in ('assert', 'retract')),
    content bytea,
    content_digest bytea not null,
    broker_time timestamptz not null,
    partition integer not null,
    "offset" bigint not null,
    primary key (shared_id, event_id)
);

create table directory_current (
    shared_id text collate "C" primary key,
    resource_type text not null,
    event_id uuid not null,
    rank bigint not null,
    published_at timestamptz not null,
    operation text not null
);

-- What could not be used, with its bytes. The unique key makes parking the same message twice one row.
create table parked (
    parked_id uuid primary key,
    reason text not null,
    explanation text not null,
    topic text not null,
    partition integer not null,
    "offset" bigint not null,
    publisher text,
    key bytea,
    value bytea not null,
    attempts integer not null,
    parked_at timestamptz not null,
    unique (topic, partition, "offset")
);
create index on parked (publisher, parked_at);

-- Events that wait for Kafka, written in the same transaction as what caused them.
create table outbox (
    id bigint generated always as identity primary key,
    topic text not null,
    key bytea not null,
    value bytea not null,
    at timestamptz not null default now()
);

-- Published to other rooms: is this event visible yet, or was it parked? A cycle of aliases is a notice to operators: its
-- statement is in the record.
create view visible_position as select topic, partition, next_offset from position;
create view parked_position as
    select topic, partition, "offset", reason, explanation from parked where reason <> 'alias-cycle';

-- Published to intake: what an id in our own form stands for. Ask with person_key (its first 26 characters) as well: the
-- index of statements begins with it.
create view known_resource as
    select distinct on (statement.person_key, statement.shared_id)
        statement.shared_id, statement.person_key, person.system as person_system, person.value as person_value,
        statement.organisation, statement.system, statement.local_id, statement.resource_type
    from statement
    join person using (person_key)
    order by statement.person_key, statement.shared_id;
