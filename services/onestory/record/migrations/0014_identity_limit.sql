-- A source may link a limited number of provisional identities to one person. Links beyond the limit are kept, and not
-- followed. The projector decides anew with each new identity; here with the default of the limit.
alter table patient_link add column beyond_limit boolean not null default false;
update patient_link link set beyond_limit = true
from (
    select person_key, other_key,
        row_number() over (partition by person_key, organisation order by rank, published_at, event_id, other_key) as place
    from (
        select distinct on (l.person_key, s.organisation, l.other_key)
            l.person_key, s.organisation, l.other_key, s.rank, s.published_at, s.event_id
        from patient_link l
        join statement s using (person_key, shared_id, event_id)
        where l.kind = 'provisional'
        order by l.person_key, s.organisation, l.other_key, s.rank, s.published_at, s.event_id
    ) first_statement
) ranked
where (link.person_key, link.other_key) = (ranked.person_key, ranked.other_key) and link.kind = 'provisional'
    and ranked.place > 20;

create or replace view identity_link as
    select link.person_key, link.other_key
    from patient_link link
    join current c on c.person_key = link.person_key and c.resource_type = 'Patient'
        and c.shared_id = link.shared_id and c.event_id = link.event_id and c.visible
    where not link.beyond_limit
        and (link.kind <> 'provisional' or exists (select from person where person.person_key = link.other_key));

-- A notice to operators: the statement is in the record.
create or replace view parked_position as
    select topic, partition, "offset", reason, explanation from parked
    where reason not in ('alias-cycle', 'too-many-identities')
        and (waiting or not exists (
            select from position
            where (position.topic, position.partition) = (parked.topic, parked.partition)
                and position.next_offset > parked.replayed_offset
        ));
