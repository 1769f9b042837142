-- The weekdays of a role (mon to sun); empty: every day.
alter table directory_role add column weekdays text[] not null default '{}';
create or replace view role as
    select r.shared_id as role_id, r.subject, t.team_id, t.organisation, r.code, r.name, r.starts_at, r.ends_at,
        r.active and r.is_in_post as active, r.weekdays
    from directory_role r
    join directory_role_team at on at.role_id = r.shared_id
    join team t on (t.team_id = at.team_id or (at.dos_service_id <> '' and t.dos_service_id = at.dos_service_id))
        and (t.organisation = r.said_by or exists (select from directory_authority w where w.ods = r.said_by))
    where r.subject <> ''
    union all
    select r.shared_id, r.subject, '', r.said_by, r.code, r.name, r.starts_at, r.ends_at,
        r.active and r.is_in_post, r.weekdays
    from directory_role r
    where r.subject <> '' and not exists (select from directory_role_team at where at.role_id = r.shared_id);
