-- Every referral as it stands. What is about a person begins with the person's key. Keys and ids collate "C".
create table referral (
    person_key text collate "C" not null,
    referral_id text collate "C" not null,
    -- The referral's name within its requester's organisation.
    local_id text collate "C" not null,
    person_system text not null,
    person_value text not null,
    task_id text collate "C" not null,
    task_number integer not null,
    version bigint not null,
    kind text not null check (kind in ('referral', 'validation', 'advice')),
    priority text not null check (priority in ('routine', 'urgent', 'asap', 'stat')),
    status text not null,
    business_status text not null,
    is_open boolean not null,
    requester_organisation text not null,
    requester_team text not null,
    requester_subject text not null,
    sender_organisation text not null,
    sender_team text not null,
    recipient_organisation text not null,
    recipient_team text collate "C" not null,
    -- Who is responsible, and who acts next: they follow from the rest, and are kept to be asked for. Nobody once ended.
    holder_organisation text,
    holder_team text,
    next_organisation text,
    next_team text collate "C",
    acts_next text not null default '',
    service_request jsonb not null,
    reason_code text,
    reason jsonb,
    outputs jsonb not null default '[]',
    correlation_id text not null,
    created_at timestamptz not null,
    changed_at timestamptz not null,
    changed_by uuid not null,
    sent_at timestamptz,
    due_at timestamptz,
    until timestamptz,
    escalated_at timestamptz,
    claimed_by text not null default '',
    -- Of what created it: a repetition meets it, something else under the same key does not.
    request_digest bytea not null,
    primary key (person_key, referral_id),
    -- One holder, and one next actor with a time, as long as it is open.
    check (is_open = (holder_organisation is not null)),
    check (is_open = (next_organisation is not null)),
    check (is_open = (due_at is not null))
);

-- What a referral consists of, as it stands: the ServiceRequest, a Task for each recipient, what was said and booked.
-- event_id is the version id.
create table resource (
    person_key text collate "C" not null,
    shared_id text collate "C" not null,
    resource_type text not null,
    referral_id text collate "C" not null,
    event_id uuid not null,
    changed_at timestamptz not null,
    content bytea not null,
    primary key (person_key, shared_id)
);
create index on resource (person_key, referral_id);

-- Every change of every referral, in order. `request_key` is the Idempotency-Key under which it was asked for.
create table change (
    person_key text collate "C" not null,
    referral_id text collate "C" not null,
    version bigint not null,
    event_id uuid not null,
    action text not null,
    reason text not null,
    actor_organisation text not null,
    actor_team text not null,
    actor_subject text not null,
    actor_role text not null,
    status text not null,
    business_status text not null,
    task_id text collate "C" not null,
    notices jsonb not null,
    at timestamptz not null,
    request_key text,
    request_digest bytea,
    primary key (person_key, referral_id, version)
);
create unique index on change (person_key, referral_id, request_key) where request_key is not null;

-- Events that wait for Kafka, written in the same transaction as what caused them. A person's rows are written under
-- that person's lock, so they go out in the order of their numbers.
create table outbox (
    id bigint generated always as identity primary key,
    topic text not null,
    key bytea not null,
    value bytea not null,
    at timestamptz not null default now()
);
