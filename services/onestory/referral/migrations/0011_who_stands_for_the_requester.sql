-- The party that stands on the requester's side now: the requester, or a later practice of the person that has acted for
-- it. `practice` is where the person has registered since: it may act, and is responsible only once it does.
alter table referral
    add column referrer_organisation text not null default '',
    add column referrer_team text not null default '',
    add column practice text not null default '';
update referral set referrer_organisation = requester_organisation, referrer_team = requester_team;
alter table referral
    alter column referrer_organisation drop default,
    alter column referrer_team drop default;

create index referral_by_referrer on referral (referrer_organisation, urgency, due_at, referral_id)
    where is_open and referrer_organisation <> requester_organisation;
create index referral_by_practice on referral (practice, urgency, due_at, referral_id)
    where is_open and practice <> '';

-- Where the person was registered before, for a move.
alter table to_tell add column former_practice text not null default '';

-- Whether an organisation is a practice: people are registered with it.
create index person_known_by_practice on person_known (practice);
