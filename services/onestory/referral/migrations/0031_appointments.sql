-- Appointments are part of the referral: a later command keeps them, and one of several can be cancelled.
alter table referral add column appointments jsonb not null default '[]';
-- The appointments that a change concerned, and those to come after it: a notice shows them.
alter table change add column appointments jsonb not null default '[]';

-- A booking without a referral has a history of its own. `slot_withdrawn`: its Slot is not offered any more.
alter table booking
    add column starts_at timestamptz,
    add column ends_at timestamptz,
    add column version bigint not null default 1,
    add column slot_withdrawn boolean not null default false;
update booking set
    starts_at = (convert_from(content, 'UTF8')::jsonb ->> 'start')::timestamptz,
    ends_at = (convert_from(content, 'UTF8')::jsonb ->> 'end')::timestamptz;
alter table booking alter column starts_at set not null, alter column ends_at set not null;
create index booking_to_come on booking (starts_at) where status = 'booked';

create table booking_change (
    person_key text collate "C" not null,
    appointment_id text collate "C" not null,
    version bigint not null,
    event_id uuid not null,
    action text not null,
    actor_organisation text not null,
    actor_subject text not null,
    status text not null,
    appointments jsonb not null,
    at timestamptz not null,
    primary key (person_key, appointment_id, version)
);
-- A notice about a booking without a referral names the appointment, and no referral.
alter table notice add column appointment_id text collate "C" not null default '';

-- Until now, `until` was the time of the one appointment that counted.
with known as (
    select r.person_key, r.referral_id, b.appointment_id as id, b.status, b.starts_at, b.ends_at,
        jsonb_build_array(b.with_organisation, b.team_id) as team, jsonb_build_array(b.organisation, '') as booked_by,
        case when b.with_organisation = r.recipient_organisation then r.task_number else 0 end as task_number,
        true as has_slot
    from referral r join booking b using (person_key, referral_id)
    union all
    select r.person_key, r.referral_id, 'appointment-' || r.version, 'booked', r.until, null,
        jsonb_build_array(r.recipient_organisation, r.recipient_team),
        jsonb_build_array(r.recipient_organisation, r.recipient_team), r.task_number, false
    from referral r
    where r.until is not null and r.status in ('accepted', 'in-progress') and not exists (
        select from booking b
        where b.person_key = r.person_key and b.referral_id = r.referral_id and b.starts_at = r.until
    )
), listed as (
    select person_key, referral_id, jsonb_agg(jsonb_build_object(
        'id', id, 'status', status, 'team', team, 'booked_by', booked_by, 'task_number', task_number,
        'has_slot', has_slot, 'slot_withdrawn', false,
        'start', to_char(starts_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'end', to_char(ends_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
    ) order by starts_at, id) as appointments
    from known group by person_key, referral_id
)
update referral r set appointments = listed.appointments
from listed where listed.person_key = r.person_key and listed.referral_id = r.referral_id;
update referral set until = null where status in ('accepted', 'in-progress');
