-- The referral that a referral continues: its holder referred on. Empty: none.
alter table referral add column based_on text collate "C" not null default '';
