-- Whose summary waits to be put together again, since when, and when the person last changed.
alter table person_state
    add column due_since timestamptz default now(),
    add column changed_at timestamptz not null default now();
create index on person_state (due_since) where due_since is not null;

-- What the last published summary of a person says, part by part, and until when that holds by itself.
create table summary (
    person_key text collate "C" primary key,
    digest text not null,
    parts jsonb not null,
    valid_until timestamptz,
    made_at timestamptz not null default now()
);
create index on summary (valid_until) where valid_until is not null;

-- Each source describes itself in the directory.
create index on directory_statement (organisation) where resource_type = 'Organization';
