-- What an authority's Patient says of another number of the same person, in force while that statement stands: who died
-- under one number did so under the other.
create table person_link (
    person_key text collate "C" not null,
    resource_hash text collate "C" not null,
    event_id uuid not null,
    other_key text collate "C" not null,
    kind text not null check (kind in ('replaces', 'replaced-by')),
    primary key (person_key, resource_hash, event_id, other_key)
);
create index on person_link (other_key);
create index on person_link (resource_hash);
