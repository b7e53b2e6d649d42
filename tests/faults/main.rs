//! Each request that a flow makes to a vendor fails in each possible way, one at a time, and no failure does harm.
//!
//! After each fault: the answer is documented, or it is API Gateway's own for a function that died; the retry succeeds
//! as documented; no user is incomplete or duplicated; each session belongs to a user; no code serves twice, and no wrong
//! code serves; and within a day every limit that the fault used up is available again.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod flows;
mod invariants;
mod sweep;

use flows::End::{Problem, ProblemOrOnRetry, SuccessOrOnRetry};
use flows::Request::{Api, Functions};
use flows::Step::{
    AddTestNumber, AgePhoneProof, AgeRecovery, Asked, DoWhatEarlierCasesLeft, FailOnce, LosePhone, ReadNotices,
    ReadSignIn, Refresh, RefreshWithKey, Request, SendCode, SendToOtherPhone, SignIn, SignInWithKey, SignUpByName,
    Wait,
};
use flows::*;

/// One row a flow: the test's name, the steps before the request, the request, the check after its last answer, and what
/// differs from [`Flow::new`].
macro_rules! flows {
    ($($test:ident: [$($step:expr),*] => $request:expr => $check:ident $(, $field:ident: $value:expr)*;)*) => {$(
        #[test]
        fn $test() {
            let check: Check = |world, case, reply| Box::pin($check(world, case, reply));
            let flow = Flow::new(stringify!($test), const { &[$($step),*] }, $request, check);
            sweep::sweep(Flow { $($field: $value,)* ..flow });
        }
    )*};
}

flows! {
    no_fault_harms_a_send: [] => Api(send) => the_code_signs_in;
    // The resend goes back to the gateway that failed before, so its writes also change the carrier.
    no_fault_harms_a_resend: [FailOnce("sparrow"), SendCode, Wait(31)] => Api(send) => the_same_code_signs_in;
    no_fault_harms_a_send_by_the_last_gateway:
        [FailOnce("sparrow"), FailOnce("sns")] => Api(send) => the_code_signs_in;
    no_fault_harms_a_send_that_fails_at_every_gateway:
        [FailOnce("sparrow"), FailOnce("sns"), FailOnce("twilio")] => Api(send) => the_code_signs_in, requests: 2;

    no_fault_harms_a_submit_by_a_new_user: [SendCode] => Api(submit) => a_new_user_is_signed_in;
    no_fault_harms_a_submit_by_a_known_user: [SignIn, SendCode] => Api(submit) => the_known_user_is_signed_in;
    no_fault_harms_a_retry_of_a_successful_submit: [SendCode, Request(submit)] => Api(submit) => the_first_sign_in_is_returned;
    no_fault_lets_a_wrong_code_sign_in: [SendCode] => Api(submit_wrong_code) => the_right_code_still_signs_in,
        end: Problem(400, "incorrect_otp");

    no_fault_harms_a_send_to_verify_a_phone:
        [SignUpByName, LosePhone] => Api(send_to_verify) => the_code_verifies_the_other_phone;
    no_fault_harms_a_validation:
        [SignUpByName, LosePhone, SendToOtherPhone(send_to_verify)] => Api(validate) => the_other_phone_is_theirs,
        end: SuccessOrOnRetry(403, "already_verified");
    no_fault_lets_a_wrong_code_verify_a_phone:
        [SignUpByName, LosePhone, SendToOtherPhone(send_to_verify)] => Api(validate_wrong_code) => the_right_code_still_verifies,
        end: Problem(400, "incorrect_otp");
    no_fault_harms_a_send_to_change_the_number:
        [SignUpByName] => Api(send_to_change) => the_code_verifies_the_other_phone;
    no_fault_harms_a_change_of_number:
        [SignUpByName, SendToOtherPhone(send_to_change)] => Api(validate) => the_number_is_changed,
        end: SuccessOrOnRetry(403, "already_verified");

    no_fault_harms_a_request_for_a_number_without_the_old_one:
        [SignUpByName, SignInWithKey, RefreshWithKey, SendToOtherPhone(send_without_the_old_number)]
        => Api(ask_without_the_old_number) => the_change_waits_and_is_made,
        end: SuccessOrOnRetry(403, "already_verified");
    no_fault_harms_a_change_that_is_due:
        [DoWhatEarlierCasesLeft, SignUpByName, SignInWithKey, RefreshWithKey,
         SendToOtherPhone(send_without_the_old_number), Request(ask_without_the_old_number), Wait(72 * 3_600)]
        => Functions(do_due) => the_change_that_was_due_is_made_once;
    no_fault_harms_a_refusal_of_a_change:
        [SignUpByName, SignInWithKey, RefreshWithKey, SendToOtherPhone(send_without_the_old_number),
         Request(ask_without_the_old_number)]
        => Api(refuse_change) => the_change_is_not_made, end: SuccessOrOnRetry(404, "nothing_pending");
    no_fault_harms_a_request_for_an_account:
        [SignUpByName, SendCode, AgePhoneProof] => Api(recover) => the_account_opens_after_seven_days,
        end: Problem(403, "recovery_pending");
    no_fault_harms_the_opening_of_an_account:
        [SignUpByName, SendCode, AgePhoneProof, Request(sign_out), Asked(recover), AgeRecovery]
        => Api(recover) => the_account_is_open;
    no_fault_harms_a_refusal_of_a_recovery:
        [SignUpByName, SendCode, AgePhoneProof, Asked(recover)] => Api(refuse_recovery) => the_recovery_is_refused,
        end: SuccessOrOnRetry(404, "nothing_pending");

    no_fault_harms_the_notices_of_a_change_of_number:
        [SignUpByName, SignIn, Request(put_fcm_token_on_the_other_device), SendToOtherPhone(send_to_change),
         Request(validate), ReadNotices]
        => Functions(deliver_notices) => everybody_was_told_of_the_change;

    no_fault_harms_the_events_of_a_sign_in:
        [SignIn, ReadSignIn] => Functions(publish_events) => the_events_of_the_sign_in_are_published,
        events: Events::Published;

    no_fault_harms_an_undo_by_code:
        [SignUpByName, SignIn, SendToOtherPhone(send_to_change), Request(validate), Wait(120), SendCode]
        => Api(undo_by_code) => the_number_returned;
    no_fault_harms_an_undo_by_another_device:
        [SignUpByName, SignInWithKey, SendToOtherPhone(send_to_change), Request(validate), Wait(61)]
        => Api(undo_by_another_device) => the_number_returned, end: SuccessOrOnRetry(404, "nothing_to_undo");
    no_fault_harms_a_restored_account:
        [SignUpByName, Request(delete_account), SendCode] => Api(restore) => the_account_is_restored;
    no_fault_harms_a_refresh_of_a_bound_session: [SignInWithKey] => Api(refresh_with_key) => the_bound_tokens_are_rotated;
    no_fault_harms_a_sign_out_of_another_device_with_a_key:
        [SignIn, SignInWithKey] => Api(sign_out_other) => the_other_bound_device_is_signed_out;

    no_fault_harms_a_refresh: [SignIn] => Api(refresh) => the_tokens_are_rotated;
    no_fault_keeps_a_session_whose_old_token_was_presented: [SignIn, Refresh, Wait(31)] => Api(refresh) => the_session_is_ended,
        end: ProblemOrOnRetry((401, "refresh_reused"), (401, "session_revoked"));
    no_fault_harms_a_list_of_sessions: [SignIn, SignIn] => Api(list_sessions) => two_sessions_are_listed;
    no_fault_harms_a_sign_out_of_another_device: [SignIn, SignIn] => Api(sign_out_other) => the_other_device_is_signed_out;
    no_fault_harms_a_sign_out_of_this_device: [SignIn, SignIn] => Api(sign_out) => this_device_is_signed_out,
        end: SuccessOrOnRetry(401, "session_revoked");
    no_fault_harms_a_sign_out_of_all_devices: [SignIn, SignIn, SignIn] => Api(sign_out_all) => all_devices_are_signed_out,
        end: SuccessOrOnRetry(401, "session_revoked");

    no_fault_harms_a_read_of_the_profile: [SignUpByName] => Api(read_profile) => the_username_is_returned;
    no_fault_harms_a_change_of_username: [SignUpByName] => Api(change_username) => the_username_is_changed;
    no_fault_harms_an_fcm_token: [SignIn] => Api(put_fcm_token) => the_fcm_token_is_stored;
    no_fault_harms_a_request_for_approval:
        [SignIn, Request(put_fcm_token), SendCode, AgePhoneProof] => Api(submit) => an_approval_lets_the_code_sign_in,
        end: Problem(403, "second_signal_required");
    no_fault_harms_an_approval:
        [SignIn, Request(put_fcm_token), SendCode, AgePhoneProof] => Api(approve) => the_approved_code_signs_in_once;
    no_fault_harms_a_deletion:
        [SignUpByName, SignIn, SendToOtherPhone(send_to_change)] => Api(delete_account) => the_account_is_deleted,
        end: SuccessOrOnRetry(403, "no_such_user");

    no_fault_harms_a_route_behind_the_authorizer: [SignIn] => Functions(authorize) => the_user_is_authorized;
    no_fault_authorizes_a_signed_out_user: [SignIn, Request(sign_out)] => Functions(authorize) => nobody_is_authorized;
    no_fault_harms_a_read_of_the_public_keys: [] => Api(read_public_keys) => a_key_is_published;
    no_fault_harms_a_rotation_of_the_signing_key: [SignIn] => Functions(rotate_keys) => the_new_key_signs;

    no_fault_harms_a_send_to_a_test_number: [AddTestNumber] => Api(send_to_test_number) => the_fixed_code_serves_once;
    no_fault_harms_a_submit_of_a_test_number:
        [AddTestNumber, Request(send_to_test_number)] => Api(submit_fixed_code) => the_fixed_code_served_once;
}
