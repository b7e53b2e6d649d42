// What can go wrong with a request, as one class with a stable code.

package latchkey

import kotlinx.serialization.SerialName
import kotlinx.serialization.Serializable
import kotlinx.serialization.SerializationException

/** Why a request did not succeed. A later version of Latchkey may answer with codes that are not in this list. */
@JvmInline
public value class ProblemCode(
    public val text: String,
) {
    override fun toString(): String = text

    public companion object {
        public val MalformedRequest: ProblemCode = ProblemCode("malformed_request")
        public val InvalidPhoneNumber: ProblemCode = ProblemCode("invalid_phone_number")
        public val InvalidValidationRequest: ProblemCode = ProblemCode("invalid_validation_request")
        public val PayloadTooLarge: ProblemCode = ProblemCode("payload_too_large")
        public val UnsupportedMediaType: ProblemCode = ProblemCode("unsupported_media_type")
        public val NoSuchOrganization: ProblemCode = ProblemCode("no_such_organization")
        public val CountryNotAllowed: ProblemCode = ProblemCode("country_not_allowed")
        public val EdgeRequired: ProblemCode = ProblemCode("edge_required")
        public val FirebaseTokenInvalid: ProblemCode = ProblemCode("firebase_token_invalid")
        public val FirebaseTokenExpired: ProblemCode = ProblemCode("firebase_token_expired")
        public val IncorrectOtp: ProblemCode = ProblemCode("incorrect_otp")
        public val OtpExpired: ProblemCode = ProblemCode("otp_expired")
        public val TooManyAttempts: ProblemCode = ProblemCode("too_many_attempts")
        public val TooManyRequests: ProblemCode = ProblemCode("too_many_requests")
        public val PhoneOrUsernameMistaken: ProblemCode = ProblemCode("phone_or_username_mistaken")
        public val AlreadyVerified: ProblemCode = ProblemCode("already_verified")
        public val TestNumberRefused: ProblemCode = ProblemCode("test_number_refused")
        public val NotAMember: ProblemCode = ProblemCode("not_a_member")
        public val AccountBlocked: ProblemCode = ProblemCode("account_blocked")
        public val SecondSignalRequired: ProblemCode = ProblemCode("second_signal_required")
        public val NumberReleased: ProblemCode = ProblemCode("number_released")
        public val RecoveryPending: ProblemCode = ProblemCode("recovery_pending")
        public val RecoveryRefused: ProblemCode = ProblemCode("recovery_refused")
        public val ChangePending: ProblemCode = ProblemCode("change_pending")
        public val UsernameTaken: ProblemCode = ProblemCode("username_taken")
        public val NoSuchUser: ProblemCode = ProblemCode("no_such_user")
        public val TokenRequired: ProblemCode = ProblemCode("token_required")
        public val TokenInvalid: ProblemCode = ProblemCode("token_invalid")
        public val TokenExpired: ProblemCode = ProblemCode("token_expired")
        public val InvalidDpopProof: ProblemCode = ProblemCode("invalid_dpop_proof")
        public val SessionRevoked: ProblemCode = ProblemCode("session_revoked")
        public val RefreshReused: ProblemCode = ProblemCode("refresh_reused")
        public val FreshTokenRequired: ProblemCode = ProblemCode("fresh_token_required")
        public val NothingToApprove: ProblemCode = ProblemCode("nothing_to_approve")
        public val NothingToUndo: ProblemCode = ProblemCode("nothing_to_undo")
        public val NothingPending: ProblemCode = ProblemCode("nothing_pending")
        public val SmsGatewayUnavailable: ProblemCode = ProblemCode("sms_gateway_unavailable")
        public val ServiceUnavailable: ProblemCode = ProblemCode("service_unavailable")

        // What Latchkey did not say.

        /** API Gateway had too many requests. */
        public val GatewayThrottled: ProblemCode = ProblemCode("gateway_throttled")

        /** API Gateway failed, or something else in between did. */
        public val GatewayFailed: ProblemCode = ProblemCode("gateway_failed")

        /** API Gateway refused the request, or something else in between did. */
        public val GatewayRefused: ProblemCode = ProblemCode("gateway_refused")

        /** Nobody answered. The server may have done what was asked. */
        public val NoAnswer: ProblemCode = ProblemCode("no_answer")

        /** Nobody answered in time. The server may have done what was asked. */
        public val TimedOut: ProblemCode = ProblemCode("timed_out")

        /** The request needs a session and there is none. Nothing was sent. */
        public val SignedOut: ProblemCode = ProblemCode("signed_out")

        /** The device's key did not sign. Nothing was sent. */
        public val KeyFailed: ProblemCode = ProblemCode("key_failed")
    }
}

/** Something wrong with a request, for whoever writes the app. */
@Serializable
public class RequestError(
    public val detail: String,
    /** Where in the body: a JSON pointer as a fragment (RFC 6901, section 6). */
    public val pointer: String? = null,
    public val header: String? = null,
    public val parameter: String? = null,
)

/** All members that an answer of Latchkey which is no success may have. Times are epoch seconds. */
@Serializable
public class ProblemBody(
    public val type: String? = null,
    public val title: String? = null,
    public val status: Int? = null,
    /** For people, in English or Nepali. */
    public val detail: String? = null,
    public val code: String? = null,
    public val errors: List<RequestError>? = null,
    @SerialName("retry_after") public val retryAfter: Long? = null,
    @SerialName("attempts_left") public val attemptsLeft: Int? = null,
    @SerialName("other_ways") public val otherWays: List<String>? = null,
    @SerialName("approval_asked") public val approvalAsked: Boolean? = null,
    /** `number_change` or `account_deletion`. */
    public val undoes: String? = null,
    @SerialName("undo_until") public val undoUntil: Long? = null,
    @SerialName("opens_at") public val opensAt: Long? = null,
    @SerialName("closes_at") public val closesAt: Long? = null,
    @SerialName("possible_at") public val possibleAt: Long? = null,
    @SerialName("due_at") public val dueAt: Long? = null,
)

/** In characters. */
private const val LONGEST_DETAIL = 500

/** The year 5138, in seconds since the epoch. */
private const val LATEST = 100_000_000_000

/** A number of seconds that can be real. Whoever answers may not be Latchkey. */
internal fun plausible(seconds: Long?): Long? = seconds?.takeIf { it in 0 until LATEST }

/** A request that did not succeed. Branch on [code]; the message is a sentence for people. */
public class Problem internal constructor(
    public val code: ProblemCode,
    /** The HTTP status. 0 if there was no answer. */
    public val status: Int = 0,
    /** As it came. Empty if somebody else than Latchkey answered. */
    public val body: ProblemBody = ProblemBody(),
    retryAfterHeader: String? = null,
    /** Quote it when you report a fault. */
    public val requestId: String? = null,
    cause: Throwable? = null,
) : Exception((body.detail ?: code.text).take(LONGEST_DETAIL), cause) {
    /** Seconds to wait before the next try. */
    public val retryAfter: Long? = plausible(body.retryAfter) ?: plausible(retryAfterHeader?.toLongOrNull())

    /** Tries that are left with this code. */
    public val attemptsLeft: Int? get() = body.attemptsLeft?.takeIf { it >= 0 }

    internal companion object {
        /** The problem that an answer states. API Gateway's own answers have a `message` and no `code`. */
        fun of(response: HttpResponse): Problem {
            val body =
                try {
                    json.decodeFromString<ProblemBody>(response.text)
                } catch (_: SerializationException) {
                    ProblemBody() // A page of a proxy. Its status says the rest.
                }
            val status = response.status
            val code =
                body.code?.let(::ProblemCode) ?: when {
                    status == 429 -> ProblemCode.GatewayThrottled
                    status >= 500 -> ProblemCode.GatewayFailed
                    else -> ProblemCode.GatewayRefused
                }
            val stated = if (body.code == null) ProblemBody() else body
            return Problem(code, status, stated, response.header("retry-after"), response.header("x-request-id"))
        }
    }
}
