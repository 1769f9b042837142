-- BaRS messages that were processed, each written in the transaction of what it did: so none is lost or done twice. What was
-- refused leaves nothing here, and its X-Request-Id may be used again.
create table bars_message (
    -- Who sent it, and its X-Request-Id.
    organisation text collate "C" not null,
    request_id uuid not null,
    -- The Bundle's id, by which a response names it; the fullUrl of what it was about, by which an update does.
    message_id text collate "C" not null,
    focus_url text collate "C" not null,
    meaning text not null,
    person_key text collate "C" not null,
    -- What it was about: the referral, the booking, or both. Empty: none.
    referral_id text collate "C" not null,
    appointment_id text collate "C" not null,
    -- By fullUrl, the local id under which the sender stated each of its entries.
    names jsonb not null,
    at timestamptz not null default now(),
    primary key (organisation, request_id)
);
create index on bars_message (message_id);
create index on bars_message (organisation, focus_url);
create index on bars_message (referral_id) where referral_id <> '';

-- Times that a team offers, and what they belong to, as the directory says (0002).
create table directory_schedule (
    shared_id text collate "C" primary key,
    said_by text not null,
    -- actor: the HealthcareService, by its directory id or by its DoS service id.
    team_ids text[] collate "C" not null,
    dos_service_ids text[] not null,
    content bytea not null,
    active boolean not null
);
create table directory_slot (
    shared_id text collate "C" primary key,
    said_by text not null,
    schedule_id text collate "C" not null,
    status text not null,
    starts_at timestamptz not null,
    ends_at timestamptz not null,
    content bytea not null,
    active boolean not null
);
create index on directory_slot (schedule_id, starts_at);

-- Appointments that were made by message. A slot has one booking at a time.
create table booking (
    person_key text collate "C" not null,
    appointment_id text collate "C" not null,
    local_id text collate "C" not null,
    -- Who booked, and with whom.
    organisation text not null,
    with_organisation text not null,
    team_id text collate "C" not null,
    slot_id text collate "C" not null,
    referral_id text collate "C" not null,
    status text not null,
    content bytea not null,
    event_id uuid not null,
    changed_at timestamptz not null,
    primary key (person_key, appointment_id)
);
create unique index booking_of_slot on booking (slot_id) where status = 'booked';

-- Slots that nobody has taken, with the team that offers them. A team's slots are said by its own organisation alone.
create view slot as
    select s.shared_id as slot_id, s.said_by as organisation, t.team_id, t.dos_service_id, s.schedule_id, s.starts_at,
        s.ends_at, s.content, c.content as schedule_content,
        case when b.slot_id is not null then 'busy' else s.status end as status
    from directory_slot s
    join directory_schedule c on c.shared_id = s.schedule_id and c.said_by = s.said_by and c.active
    join team t on t.organisation = s.said_by
        and (t.team_id = any(c.team_ids) or (t.dos_service_id <> '' and t.dos_service_id = any(c.dos_service_ids)))
    left join booking b on b.slot_id = s.shared_id and b.status = 'booked'
    where s.active;
