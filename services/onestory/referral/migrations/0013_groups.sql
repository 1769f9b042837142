-- The same for the referrals of one request to several teams at once: one acceptance ends the others. Empty: one team.
alter table referral add column group_id text not null default '';
