-- Whether each source that is no demographic authority says that a person died. One row for each of its Patients: the
-- statement with the greatest (rank, published_at, event_id). A resource is about the person of whom its source said it
-- last.
create table death_word (
    person_key text collate "C" not null,
    resource_hash text collate "C" not null,
    event_id uuid not null,
    rank bigint not null,
    published_at timestamptz not null,
    organisation text not null,
    asserted boolean not null,
    died boolean not null,
    primary key (person_key, resource_hash)
);
create index on death_word (resource_hash);
create index on death_word (person_key) where died;
