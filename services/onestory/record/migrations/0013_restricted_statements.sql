-- Whether the source labels the statement R or V (v3-Confidentiality). A label on a referral does not count. The rule is
-- that of record/person/labels.py.
alter table statement add column restricted boolean not null default false;
-- PostgreSQL cannot read U+0000 and surrogates as JSON, so a space takes their place. A label has neither.
update statement set restricted = true
where system not in ('onestory-referral', 'onestory-booking')
    and (position('security'::bytea in content) > 0 or position('\\u'::bytea in content) > 0)
    and exists (
        select from json_array_elements(
            regexp_replace(convert_from(content, 'UTF8'), '\\u(0000|[dD][89a-fA-F][0-9a-fA-F]{2})', '\\u0020', 'g')::json
                -> 'meta' -> 'security'
        ) label
        where upper(btrim(label ->> 'code')) in ('R', 'V')
            and (btrim(coalesce(label ->> 'system', '')) = '' or label ->> 'system' ~* 'confidentiality'
                or btrim(label ->> 'system') ~* '^(urn:oid:)?2\.16\.840\.1\.113883\.5\.25$')
    );
create index on statement (person_key) where restricted;
