-- How far each partition of each topic has been projected. Moved first in every transaction, by compare-and-set.
create table position (
    topic text not null,
    partition integer not null,
    next_offset bigint not null,
    broker_time timestamptz not null,
    primary key (topic, partition)
);

-- What was said to the directory of what this room uses. (rank, published_at, event_id) is the order key, as in the record.
create table directory_statement (
    shared_id text collate "C" not null,
    event_id uuid not null,
    rank bigint not null,
    published_at timestamptz not null,
    resource_type text not null,
    said_by text not null,
    operation text not null check (operation in ('assert', 'retract')),
    content bytea,
    digest bytea not null,
    primary key (shared_id, event_id)
);

-- What stands, one table for each FHIR type. Read the views below: they resolve what refers to what, in whatever order it
-- arrived, and leave out what nobody may say of somebody else. A row outlives a retraction and is not active from then on.
create table directory_organisation (
    shared_id text collate "C" primary key,
    said_by text not null,
    ods text not null,
    name text not null,
    active boolean not null
);
create index on directory_organisation (ods);

create table directory_team (
    shared_id text collate "C" primary key,
    said_by text not null,
    -- providedBy: an ODS code, or else the Organization's id.
    ods text not null,
    organisation_id text not null,
    name text not null,
    kind text not null,
    network text not null,
    dos_service_id text not null,
    practices text[] not null,
    escalation_name text not null,
    escalation_phone text not null,
    escalation_email text not null,
    active boolean not null
);
create index on directory_team (dos_service_id);

create table directory_practitioner (
    shared_id text collate "C" primary key,
    said_by text not null,
    subject text not null,
    name text not null,
    active boolean not null
);

create table directory_role (
    shared_id text collate "C" primary key,
    said_by text not null,
    practitioner_id text not null,
    -- The SDS user id: the role's own word, or else the Practitioner's, once that has arrived.
    subject text not null,
    name text not null,
    is_in_post boolean not null default true,
    code text not null,
    starts_at timestamptz,
    ends_at timestamptz,
    active boolean not null
);
create index on directory_role (subject);
create index on directory_role (practitioner_id);

-- At which teams a role is: by the HealthcareService's id, or by its DoS service id.
create table directory_role_team (
    role_id text collate "C" not null,
    team_id text collate "C" not null,
    dos_service_id text not null,
    primary key (role_id, team_id, dos_service_id)
);
create index on directory_role_team (team_id);

-- Organisations as they call themselves.
create view organisation as
    select distinct on (o.ods) o.ods, o.name, o.active
    from directory_organisation o
    where o.ods = o.said_by
    order by o.ods, o.active desc, o.shared_id;

-- Teams. Only the organisation that provides a team may say so: nobody takes in referrals under another's name.
create view team as
    select t.shared_id as team_id, t.said_by as organisation, t.name, t.kind, t.network, t.dos_service_id, t.practices,
        t.escalation_name, t.escalation_phone, t.escalation_email, t.active
    from directory_team t
    left join directory_organisation o on o.shared_id = t.organisation_id and o.said_by = t.said_by
    where case when t.ods <> '' then t.ods else o.ods end = t.said_by;

-- Roles at teams, one row for each team; team_id is empty for a role at an organisation as a whole. Only the team's own
-- organisation may say who works in it.
create view role as
    select r.shared_id as role_id, r.subject, t.team_id, t.organisation, r.code, r.name, r.starts_at, r.ends_at,
        r.active and r.is_in_post as active
    from directory_role r
    join directory_role_team at on at.role_id = r.shared_id
    join team t on t.organisation = r.said_by
        and (t.team_id = at.team_id or (at.dos_service_id <> '' and t.dos_service_id = at.dos_service_id))
    where r.subject <> ''
    union all
    select r.shared_id, r.subject, '', r.said_by, r.code, r.name, r.starts_at, r.ends_at,
        r.active and r.is_in_post
    from directory_role r
    where r.subject <> '' and not exists (select from directory_role_team at where at.role_id = r.shared_id);
