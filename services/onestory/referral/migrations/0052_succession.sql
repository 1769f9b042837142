-- Who succeeds a team, an organisation or a user (extension succeeded-by): what ends, and what follows it.
create table directory_succession (
    succession_id text collate "C" primary key,
    resource_id text collate "C" not null,
    said_by text not null,
    kind text not null,
    old_id text collate "C" not null,
    old_code text not null,
    new_id text collate "C" not null,
    new_code text not null,
    practices text[] not null,
    starts_at timestamptz,
    active boolean not null
);
create index on directory_succession (resource_id);

-- Successions that may take effect, resolved. A team of another organisation, and any organisation, needs an authority.
create view succession as
    select s.succession_id, s.kind, o.team_id as old_team, o.organisation as old_organisation, '' as old_user,
        n.team_id as new_team, n.organisation as new_organisation, '' as new_user, s.practices, s.starts_at
    from directory_succession s
    join team o on o.team_id = s.old_id or (s.old_code <> '' and o.dos_service_id = s.old_code)
    join team n on n.team_id = s.new_id or (s.new_code <> '' and n.dos_service_id = s.new_code)
    left join directory_authority w on w.ods = s.said_by
    where s.kind = 'team' and s.active and o.team_id <> n.team_id
        and (w.ods is not null or (s.said_by = o.organisation and o.organisation = n.organisation))
    union all
    select s.succession_id, s.kind, '', old.ods, '', '', new.ods, '', s.practices, s.starts_at
    from directory_succession s
    join directory_authority w on w.ods = s.said_by
    cross join lateral (select coalesce(
        nullif(s.old_code, ''), (select ods from directory_organisation d where d.shared_id = s.old_id), '') as ods) old
    cross join lateral (select coalesce(
        nullif(s.new_code, ''), (select ods from directory_organisation d where d.shared_id = s.new_id), '') as ods) new
    where s.kind = 'organisation' and s.active and old.ods <> '' and new.ods <> '' and old.ods <> new.ods
    union all
    -- Of a user, at each team of the role. The successor is a user, or whoever has the role or Practitioner that is named.
    select s.succession_id, s.kind, r.team_id, r.organisation, r.subject, r.team_id, r.organisation, new.subject,
        s.practices, coalesce(s.starts_at, r.ends_at)
    from directory_succession s
    join role r on r.role_id = s.old_id
    cross join lateral (select coalesce(
        nullif(s.new_code, ''),
        (select subject from directory_role d where d.shared_id = s.new_id and d.subject <> ''),
        (select subject from directory_practitioner d where d.shared_id = s.new_id), '') as subject) new
    where s.kind = 'user' and s.active and new.subject <> '' and new.subject <> r.subject;

-- Referrals that a succession has moved, with what the successor needs to know, as it was at that moment. A succession
-- moves a referral once.
create table handover (
    succession_id text collate "C" not null,
    referral_id text collate "C" not null,
    person_key text collate "C" not null,
    kind text not null,
    old_organisation text not null,
    old_team text collate "C" not null,
    old_user text not null,
    new_organisation text not null,
    new_team text collate "C" not null,
    new_user text not null,
    at timestamptz not null,
    summary jsonb not null,
    primary key (succession_id, referral_id)
);
create index on handover (new_team, at);
create index on handover (new_organisation, at);
create index on handover (new_user, at) where new_user <> '';

-- Parties of these referrals were told that the team is closed. A row goes when the team takes referrals again.
create table closed_team_told (
    team_id text collate "C" not null,
    referral_id text collate "C" not null,
    primary key (team_id, referral_id)
);
create index referral_of_open_team on referral (recipient_team) where is_open;
create index referral_of_open_sender on referral (sender_organisation, sender_team) where is_open;
create index referral_of_open_user on referral (requester_subject) where is_open and requester_subject <> '';
