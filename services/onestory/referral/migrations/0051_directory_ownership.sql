-- Organisations whose word counts for others (setting ONESTORY_DIRECTORY_AUTHORITIES), as the projector read it at its
-- start.
create table directory_authority (ods text primary key);

alter table directory_organisation
    add column kind text not null default '',
    add column network text not null default '';

-- A member of a network, or the provider of a service to a practice. An organisation is named by a network's own code, by
-- ODS code, or by the id of an Organization of the same source.
create table directory_affiliation (
    shared_id text collate "C" primary key,
    said_by text not null,
    kind text not null,
    network text not null,
    ods text not null,
    organisation_id text collate "C" not null,
    member_ods text not null,
    member_id text collate "C" not null,
    -- The services of a provider; without any, all its teams that state the practice.
    team_ids text[] collate "C" not null,
    dos_service_ids text[] not null,
    starts_at timestamptz,
    ends_at timestamptz,
    active boolean not null
);
create view affiliation as
    select a.shared_id, a.said_by, a.kind, a.network,
        case when a.ods <> '' then a.ods else coalesce(o.ods, '') end as organisation,
        case when a.member_ods <> '' then a.member_ods else coalesce(m.ods, '') end as member,
        a.team_ids, a.dos_service_ids, a.starts_at, a.ends_at, a.active,
        exists (select from directory_authority w where w.ods = a.said_by) as by_authority
    from directory_affiliation a
    left join directory_organisation o on o.shared_id = a.organisation_id and o.said_by = a.said_by
    left join directory_organisation m on m.shared_id = a.member_id and m.said_by = a.said_by;

-- Every statement of a team about its DoS service id, in the order of Kafka's time of arrival at intake; empty: it states
-- none. The first organisation that claims an id owns it until it states it no more, unless an authority decides.
create table dos_claim (
    shared_id text collate "C" not null,
    event_id uuid not null,
    organisation text not null,
    published_at timestamptz not null,
    dos_service_id text not null,
    primary key (shared_id, event_id)
);
create index on dos_claim (dos_service_id) where dos_service_id <> '';
create table dos_owner (
    dos_service_id text primary key,
    organisation text not null
);

-- What stood before this release stays: a team goes on serving the practices that it stated by then.
create table practice_served_before (
    team_id text collate "C" not null,
    practice text not null,
    primary key (team_id, practice)
);
insert into practice_served_before select distinct shared_id, unnest(practices) from directory_team;
insert into dos_claim (shared_id, event_id, organisation, published_at, dos_service_id)
    select t.shared_id, first.event_id, t.said_by, first.published_at, t.dos_service_id
    from directory_team t cross join lateral (
        select event_id, published_at from directory_statement s
        where s.shared_id = t.shared_id and s.operation = 'assert' order by published_at, event_id limit 1
    ) first
    where t.dos_service_id <> '';
insert into dos_owner
    select distinct on (dos_service_id) dos_service_id, organisation from dos_claim
    order by dos_service_id, published_at, event_id;

-- What of a team's own words counts: `own_` is as it states it.
alter table directory_team rename column dos_service_id to own_dos_service_id;
alter table directory_team rename column practices to own_practices;
alter table directory_team
    alter column own_dos_service_id set default '',
    alter column own_practices set default '{}',
    add column dos_service_id text not null default '',
    add column practices text[] not null default '{}';
update directory_team t set practices = own_practices, dos_service_id = case when own_dos_service_id = '' or exists (
    select from dos_owner w where w.dos_service_id = t.own_dos_service_id and w.organisation = t.said_by
) then own_dos_service_id else '' end;
create index on directory_team (dos_service_id);

-- Teams. The organisation that provides a team may say so, and a directory authority may say it for another one.
create or replace view team as
    select t.shared_id as team_id, case when t.ods <> '' then t.ods else o.ods end as organisation, t.name, t.kind,
        t.network, t.dos_service_id, t.practices, t.escalation_name, t.escalation_phone, t.escalation_email, t.active
    from directory_team t
    left join directory_organisation o on o.shared_id = t.organisation_id and o.said_by = t.said_by
    where coalesce(case when t.ods <> '' then t.ods else o.ods end, '') <> ''
        and (case when t.ods <> '' then t.ods else o.ods end = t.said_by
            or exists (select from directory_authority w where w.ods = t.said_by));

-- Roles at teams: the team's own organisation says who works in it, or a directory authority.
create or replace view role as
    select r.shared_id as role_id, r.subject, t.team_id, t.organisation, r.code, r.name, r.starts_at, r.ends_at,
        r.active and r.is_in_post as active
    from directory_role r
    join directory_role_team at on at.role_id = r.shared_id
    join team t on (t.team_id = at.team_id or (at.dos_service_id <> '' and t.dos_service_id = at.dos_service_id))
        and (t.organisation = r.said_by or exists (select from directory_authority w where w.ods = r.said_by))
    where r.subject <> ''
    union all
    select r.shared_id, r.subject, '', r.said_by, r.code, r.name, r.starts_at, r.ends_at,
        r.active and r.is_in_post
    from directory_role r
    where r.subject <> '' and not exists (select from directory_role_team at where at.role_id = r.shared_id);

-- Organisations as they call themselves, or else as an authority does.
create or replace view organisation as
    select distinct on (o.ods) o.ods, o.name, o.active
    from directory_organisation o
    where o.ods <> '' and (o.ods = o.said_by or exists (select from directory_authority w where w.ods = o.said_by))
    order by o.ods, (o.ods = o.said_by) desc, o.active desc, o.shared_id;
