-- What demographic authorities said of people, as far as the parties of a referral have to know it. As in the record, a
-- resource is about the person of whom its source said it last. (rank, published_at, event_id) is the order key.
create table person_statement (
    person_key text collate "C" not null,
    resource_hash text collate "C" not null,
    event_id uuid not null,
    rank bigint not null,
    published_at timestamptz not null,
    operation text not null check (operation in ('assert', 'retract')),
    -- Null: it does not say.
    deceased boolean,
    -- An ODS code, or else the id of an Organization in the directory; both empty: it names none.
    practice text not null,
    organisation_id text not null,
    digest bytea not null,
    primary key (person_key, resource_hash, event_id)
);
-- Not by person, on purpose: a resource may go from one person to another.
create index on person_statement (resource_hash);

-- What is known of each of these people now: what the parties of their referrals were told, or are about to be told.
create table person_known (
    person_key text collate "C" primary key,
    deceased boolean not null,
    practice text not null
);

-- Open referrals whose parties have yet to be told, in order. A row goes with the change that tells them.
create table to_tell (
    id bigint generated always as identity primary key,
    referral_id text collate "C" not null,
    news text not null,
    -- Where the person is registered now, for a move.
    practice text not null
);
