-- What is overdue and nobody was told of: the clocks look for it all the time, and it is nearly always nothing.
create index referral_to_escalate on referral (due_at, referral_id) where is_open and escalated_at is null;
-- All that is overdue, as long as nobody acts.
create index referral_overdue on referral (due_at, referral_id) where is_open;

-- What each organisation and team was told, as it can be asked for: the notices of `change`, without those to persons.
-- `kept_at` is of the database's clock, so that who asks again for what is new can go by it.
create table notice (
    number bigint generated always as identity primary key,
    organisation text collate "C" not null,
    team text collate "C" not null,
    recipient text not null,
    reason text not null,
    person_key text collate "C" not null,
    referral_id text collate "C" not null,
    version bigint not null,
    kept_at timestamptz not null default clock_timestamp()
);
create index notice_to_organisation on notice (organisation, kept_at, number) where team = '';
create index notice_to_team on notice (team, kept_at, number) where team <> '';
