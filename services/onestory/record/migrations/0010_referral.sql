-- How each referral stands that the referral room told of: the greatest (version, event_id) decides, whenever it arrives.
create table referral (
    person_key text collate "C" not null,
    referral_id text collate "C" not null,
    version bigint not null,
    event_id uuid not null,
    -- Organisations; holder is null where nobody is responsible any more.
    requester text not null,
    recipient text not null,
    holder text,
    -- Of the Task that is in force.
    status text not null,
    is_open boolean not null,
    primary key (person_key, referral_id)
);

-- By which change each of them left its author: the least (version, event_id) that tells so. broker_time is that of
-- the first copy of it, for the record as it was then.
create table referral_sent (
    person_key text collate "C" not null,
    referral_id text collate "C" not null,
    version bigint not null,
    event_id uuid not null,
    sent_at timestamptz not null,
    broker_time timestamptz not null,
    primary key (person_key, referral_id)
);

-- Every Task that was in force once, and its referral.
create table referral_task (
    person_key text collate "C" not null,
    task_id text collate "C" not null,
    referral_id text collate "C" not null,
    primary key (person_key, task_id, referral_id)
);
