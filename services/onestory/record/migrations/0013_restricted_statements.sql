-- Whether the source labels the statement R or V (v3-Confidentiality). A label on a referral does not count.
alter table statement add column restricted boolean not null default false;
update statement set restricted = true
where system not in ('onestory-referral', 'onestory-booking') and position('"security"'::bytea in content) > 0
    and position('\\u0000'::bytea in content) = 0
    and exists (
        select from json_array_elements(convert_from(content, 'UTF8')::json -> 'meta' -> 'security') label
        where label ->> 'code' in ('R', 'V')
            and (coalesce(label ->> 'system', '') = '' or label ->> 'system' ~* 'confidentiality')
    );
