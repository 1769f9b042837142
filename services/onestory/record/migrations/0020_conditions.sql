-- Published to intake: the statements that are part of the record, with their contents, so that a condition of their own
-- source can be compared with them. Ask with person_key and resource_type (the index of `current`), and with the source.
create view own_statement as
    select c.person_key, c.resource_type, c.shared_id, c.event_id, c.organisation, c.system, s.local_id, s.content,
        s.broker_time, person.system as person_system, person.value as person_value
    from current c
    join statement s using (person_key, shared_id, event_id)
    join person using (person_key)
    where c.visible;

-- Published to intake: the same for the directory. Ask with organisation, system and resource_type (the new index).
create index on directory_statement (organisation, system, resource_type);
create view own_directory_statement as
    select c.resource_type, c.shared_id, c.event_id, s.organisation, s.system, s.local_id, s.content, s.broker_time
    from directory_current c
    join directory_statement s using (shared_id, event_id)
    where c.operation = 'assert';

-- Published to intake: the version that readers see of a resource of a person, and whether it has others. Ask with
-- person_key, resource_type and shared_id.
create view visible_version as
    select c.person_key, c.resource_type, c.shared_id, c.event_id,
        exists (
            select from statement s
            where s.person_key = c.person_key and s.shared_id = c.shared_id and s.event_id <> c.event_id
        ) as has_others
    from current c
    where c.visible;

-- Published to intake: the same for the directory. Ask with shared_id.
create view visible_directory_version as
    select c.resource_type, c.shared_id, c.event_id,
        exists (
            select from directory_statement s where s.shared_id = c.shared_id and s.event_id <> c.event_id
        ) as has_others
    from directory_current c
    where c.operation = 'assert';

-- Published to intake: the person whom a resource of a source is about now. Ask with resource_hash.
create view resource_owner as select resource_hash, person_key from owner;

-- Published to intake: the people of whom a source states an identifier. Ask with system and value.
create view identified_person as select system, value, organisation, person_key from patient_identifier;
