-- Referrals from before the table `referral_carried`: a team that is asked reads the request and its Tasks.
insert into referral_carried (person_key, referral_id, shared_id, organisation)
select person_key, referral_id, referral_id, requester from referral
union all
select t.person_key, t.referral_id, t.task_id, r.requester
from referral_task t join referral r using (person_key, referral_id)
on conflict do nothing;
