-- The referral that a referral continues: its holder referred on. Empty: none.
alter table referral add column based_on text collate "C" not null default '';

-- What an organisation has sent to the other parties of a referral: they may read it.
create table referral_carried (
    person_key text collate "C" not null,
    referral_id text collate "C" not null,
    shared_id text collate "C" not null,
    organisation text not null,
    primary key (person_key, referral_id, shared_id, organisation)
);
