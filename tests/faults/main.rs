//! Every request that a flow makes goes wrong in every way there is, one at a time; no harm comes of any.
//!
//! After each fault: the answer is documented, or the gateway's own for a function that died; the client's retry as
//! documented succeeds; no user is half made or doubled; no session belongs to nobody; no code serves twice, no wrong
//! code ever; and within a day nothing that was used up by the fault is missing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod flows;
mod invariants;
mod sweep;

use sweep::sweep;

macro_rules! no_fault_harms {
    ($($sentence:ident: $flow:ident),* $(,)?) => {$(
        #[test]
        fn $sentence() {
            sweep::<flows::$flow>();
        }
    )*};
}

no_fault_harms! {
    no_fault_harms_a_send: Send,
    no_fault_harms_a_resend: Resend,
    no_fault_harms_a_send_by_the_last_gateway: SendByTheLastGateway,
    no_fault_harms_a_send_that_nobody_carries: SendThatNobodyCarries,
    no_fault_harms_a_new_users_submit: SubmitOfANewUser,
    no_fault_harms_a_known_users_submit: SubmitOfAKnownUser,
    no_fault_harms_a_submits_retry: RetryOfASubmit,
    no_fault_lets_a_wrong_code_sign_in: SubmitOfAWrongCode,
    no_fault_harms_a_send_to_verify_a_phone: SendToVerify,
    no_fault_harms_a_validation: Validation,
    no_fault_lets_a_wrong_code_verify_a_phone: ValidationOfAWrongCode,
    no_fault_harms_a_send_to_change_the_number: SendToChange,
    no_fault_harms_a_change_of_number: ChangeOfNumber,
    no_fault_harms_a_refresh: Refresh,
    no_fault_harms_a_list_of_sessions: ListOfSessions,
    no_fault_harms_a_sign_out_of_one_device: SignOutOfOne,
    no_fault_harms_a_sign_out_of_this_device: SignOutOfThis,
    no_fault_harms_a_sign_out_of_all_devices: SignOutOfAll,
    no_fault_harms_a_read_of_oneself: ReadOfOneself,
    no_fault_harms_a_change_of_username: ChangeOfUsername,
    no_fault_harms_an_fcm_token: FcmToken,
    no_fault_harms_a_question_to_a_device: QuestionToADevice,
    no_fault_harms_an_approval: Approval,
    no_fault_harms_a_deletion: Deletion,
    no_fault_harms_a_teams_route: TeamRoute,
    no_fault_lets_the_signed_out_pass_a_teams_route: TeamRouteAfterSignOut,
    no_fault_harms_a_read_of_the_public_keys: PublicKeys,
    no_fault_harms_a_rotation_of_the_signing_key: Rotation,
    no_fault_harms_a_test_numbers_send: TestNumbersSend,
    no_fault_harms_a_test_numbers_submit: TestNumbersSubmit,
}
