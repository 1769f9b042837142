-- Published to intake: the resources (hashes of shared ids) that stand as a clinician's "keep apart", whomever they are
-- about, so that nobody else makes something else of them. Ask with resource_hash.
create view standing_judgement as
    select owner.resource_hash
    from owner
    join current c on c.person_key = owner.person_key and c.resource_type = 'Basic'
        and c.shared_id = owner.person_key || '-' || owner.resource_hash and c.operation = 'assert'
    join statement s on s.person_key = c.person_key and s.shared_id = c.shared_id and s.event_id = c.event_id
    where position('"https://onestory.nhs.uk/CodeSystem/record-judgement"'::bytea in s.content) > 0;
