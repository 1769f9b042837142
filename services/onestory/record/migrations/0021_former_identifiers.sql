-- An identifier with use old or temp names its former holder, and another person may have it now. So it finds nobody.
delete from patient_identifier stated
using statement s
where s.person_key = stated.person_key and s.shared_id = stated.shared_id and s.event_id = stated.event_id
    and position('"use"'::bytea in s.content) > 0 and position('\\u0000'::bytea in s.content) = 0
    and not exists (
        select from json_array_elements(convert_from(s.content, 'UTF8')::json -> 'identifier') identifier
        where identifier ->> 'system' = stated.system and identifier ->> 'value' = stated.value
            and coalesce(identifier ->> 'use', '') not in ('old', 'temp')
    );
