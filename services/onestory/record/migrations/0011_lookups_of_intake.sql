-- Published to intake: the person to whom a source's resource belongs now, and whether its current statement is part of
-- the record. Ask with resource_hash and resource_type. Supporting types (Medication, Practitioner) have no owner.
create view owned_resource as
    select owner.resource_hash, c.resource_type, c.person_key, person.system as person_system,
        person.value as person_value, c.visible
    from owner
    join current c on c.person_key = owner.person_key and c.shared_id = owner.person_key || '-' || owner.resource_hash
    join person on person.person_key = c.person_key;

-- Published to intake: the resources of a person. Ask with person_key, resource_type and shared_id.
create view person_resource as
    select person_key, resource_type, shared_id, rank, published_at, organisation, system from current where visible;

-- Published to intake: the resources of the directory. Ask with shared_id.
create view directory_resource as
    select resource_type, shared_id, rank, published_at from directory_current where operation = 'assert';

-- Published to intake: the persons to whom a source gives an identifier of its own. Ask with system and value.
create view identified_patient as
    select stated.system, stated.value, c.organisation, c.system as source_system, person.system as person_system,
        person.value as person_value
    from patient_identifier stated
    join current c on c.person_key = stated.person_key and c.resource_type = 'Patient'
        and c.shared_id = stated.shared_id and c.event_id = stated.event_id and c.visible
    join person on person.person_key = stated.person_key;

-- Earlier releases accepted directory resources that name a person. `onestory migrate` removes them.
insert into unfilled select 'directory_persons' where exists (select from directory_statement);
