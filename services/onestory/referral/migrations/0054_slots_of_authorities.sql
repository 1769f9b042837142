-- Slots of a team: its own organisation states them, or a directory authority.
create or replace view slot as
    select s.shared_id as slot_id, t.organisation, t.team_id, t.dos_service_id, s.schedule_id, s.starts_at,
        s.ends_at, s.content, c.content as schedule_content,
        case when b.slot_id is not null then 'busy' else s.status end as status
    from directory_slot s
    join directory_schedule c on c.shared_id = s.schedule_id and c.said_by = s.said_by and c.active
    join team t on (t.organisation = s.said_by or exists (select from directory_authority w where w.ods = s.said_by))
        and (t.team_id = any(c.team_ids) or (t.dos_service_id <> '' and t.dos_service_id = any(c.dos_service_ids)))
    left join booking b on b.slot_id = s.shared_id and b.status = 'booked'
    where s.active;
