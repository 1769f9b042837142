-- Referrals by message of people whose NHS number was not known, and was sent later by the requester. The referral keeps
-- its ids, which the first message gave it; a search by the number finds it.
create table identified_referral (
    referral_id text collate "C" primary key,
    -- The person key and the NHS number that were sent later.
    number_key text collate "C" not null,
    nhs_number text not null,
    at timestamptz not null default now()
);
create index on identified_referral (number_key);
