-- Whether each source that is no demographic authority says that a person died. One row for each of its Patients: the
-- statement with the greatest order key (rank, published_at, event_id). `asserted` is the greatest order key of its
-- assertions about this person: the resource is about the person with the greatest one.
create table death_word (
    person_key text collate "C" not null,
    resource_hash text collate "C" not null,
    event_id uuid not null,
    rank bigint not null,
    published_at timestamptz not null,
    organisation text not null,
    died boolean not null,
    asserted_rank bigint,
    asserted_published_at timestamptz,
    asserted_event_id uuid,
    primary key (person_key, resource_hash)
);
create index on death_word (resource_hash);
create index on death_word (person_key) where died;
