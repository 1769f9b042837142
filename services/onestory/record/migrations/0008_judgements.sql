-- Published to intake: which identities are the same person, by links in force, so that a judgement may name what was said
-- under several of them. A provisional identity of which nobody spoke is nobody.
create view identity_link as
    select link.person_key, link.other_key
    from patient_link link
    join current c on c.person_key = link.person_key and c.resource_type = 'Patient'
        and c.shared_id = link.shared_id and c.event_id = link.event_id and c.visible
    where link.kind <> 'provisional' or exists (select from person where person.person_key = link.other_key);
