// The operations of openapi.yaml that an app calls. ContractTest.kt compares them with it.

package latchkey

import kotlinx.serialization.ExperimentalSerializationApi
import kotlinx.serialization.KSerializer
import kotlinx.serialization.builtins.nullable
import kotlinx.serialization.builtins.serializer
import kotlinx.serialization.json.Json

/** Members that this version does not know are ignored, and members that are `null` by default are not sent. */
@OptIn(ExperimentalSerializationApi::class)
internal val json =
    Json {
        ignoreUnknownKeys = true
        // The exception for an answer that cannot be read would quote it, tokens and all.
        exceptionsWithDebugInfo = false
    }

/** A request and its answer, by their types. The names are the operation ids of openapi.yaml. */
public class Operation<Body, out Answer> internal constructor(
    internal val id: String,
    internal val method: String,
    internal val path: String,
    internal val body: KSerializer<Body>,
    internal val answer: KSerializer<out Answer>,
    /** Whether it is harmless to do it again where the server may have done it. */
    internal val isRepeatable: Boolean = true,
) {
    @Suppress("ktlint:standard:property-naming", "ktlint:standard:backing-property-naming")
    public companion object {
        // A second send of a code has to wait, and a second use of a code is refused. A submit has its Idempotency-Key.

        public val sendOtp: Operation<SendRequest, CodeSent> =
            Operation(
                "sendOtp",
                "POST",
                "/v1/otp/send",
                SendRequest.serializer(),
                CodeSent.serializer(),
                isRepeatable = false,
            )
        public val submitOtp: Operation<SubmitRequest, SignedIn> =
            Operation("submitOtp", "POST", "/v1/otp/submit", SubmitRequest.serializer(), SignedIn.serializer())
        public val sendPhoneOtp: Operation<SendPhoneRequest, CodeSent> =
            Operation(
                "sendPhoneOtp",
                "POST",
                "/v1/phone/otp/send",
                SendPhoneRequest.serializer(),
                CodeSent.serializer(),
                isRepeatable = false,
            )
        public val validatePhoneOtp: Operation<ValidateRequest, Validated> =
            Operation(
                "validatePhoneOtp",
                "POST",
                "/v1/phone/otp/validate",
                ValidateRequest.serializer(),
                Validated.serializer(),
                isRepeatable = false,
            )

        /** By a code of the former number; or without a body, by a session that is bound and older than the change. */
        public val undoPhoneChange: Operation<SubmitRequest?, Undone> =
            Operation(
                "undoPhoneChange",
                "POST",
                "/v1/phone/change/undo",
                SubmitRequest.serializer().nullable,
                UndoneSerializer,
            )
        public val cancelPhoneChange: Operation<Unit, Unit> =
            Operation("cancelPhoneChange", "POST", "/v1/phone/change/cancel", Unit.serializer(), Unit.serializer())
        public val cancelRecovery: Operation<Unit, Unit> =
            Operation("cancelRecovery", "POST", "/v1/recovery/cancel", Unit.serializer(), Unit.serializer())
        public val refreshSession: Operation<RefreshRequest, Tokens> =
            Operation(
                "refreshSession",
                "POST",
                "/v1/session/refresh",
                RefreshRequest.serializer(),
                Tokens.serializer(),
            )
        public val signOut: Operation<Unit, Unit> =
            Operation("signOut", "DELETE", "/v1/session", Unit.serializer(), Unit.serializer())
        public val listSessions: Operation<Unit, Devices> =
            Operation("listSessions", "GET", "/v1/sessions", Unit.serializer(), Devices.serializer())
        public val signOutEverywhere: Operation<Unit, Unit> =
            Operation("signOutEverywhere", "DELETE", "/v1/sessions", Unit.serializer(), Unit.serializer())

        /** Takes the id of the session. */
        public val revokeSession: Operation<String, Unit> =
            Operation("revokeSession", "DELETE", "/v1/sessions/{session_id}", String.serializer(), Unit.serializer())
        public val getMe: Operation<Unit, Me> = Operation("getMe", "GET", "/v1/me", Unit.serializer(), Me.serializer())
        public val patchMe: Operation<PatchMeRequest, Me> =
            Operation("patchMe", "PATCH", "/v1/me", PatchMeRequest.serializer(), Me.serializer())
        public val deleteMe: Operation<Unit, Unit> =
            Operation("deleteMe", "DELETE", "/v1/me", Unit.serializer(), Unit.serializer())
        public val putFcmToken: Operation<FcmTokenRequest, FcmTokenRegistered> =
            Operation(
                "putFcmToken",
                "PUT",
                "/v1/me/fcm-token",
                FcmTokenRequest.serializer(),
                FcmTokenRegistered.serializer(),
            )
        public val approveSignIn: Operation<ApprovalRequest, Unit> =
            Operation(
                "approveSignIn",
                "POST",
                "/v1/me/sign-in-approval",
                ApprovalRequest.serializer(),
                Unit.serializer(),
            )

        internal val all: List<Operation<*, *>> =
            listOf(
                sendOtp,
                submitOtp,
                sendPhoneOtp,
                validatePhoneOtp,
                undoPhoneChange,
                cancelPhoneChange,
                cancelRecovery,
                refreshSession,
                signOut,
                listSessions,
                signOutEverywhere,
                revokeSession,
                getMe,
                patchMe,
                deleteMe,
                putFcmToken,
                approveSignIn,
            )
    }
}
