// The bodies of requests and responses, as openapi.yaml has them. ContractTest.kt compares them member by member.
//
// None is a data class: `toString` of such a class would print codes, tokens and numbers into a log.

package latchkey

import kotlinx.serialization.DeserializationStrategy
import kotlinx.serialization.SerialName
import kotlinx.serialization.Serializable
import kotlinx.serialization.json.JsonContentPolymorphicSerializer
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.jsonObject

@Serializable
public class SendRequest(
    /** In any form. A national one is read in the organization's default region. */
    @SerialName("phone_number") public val phoneNumber: String,
    @SerialName("organization_id") public val organizationId: String? = null,
    public val source: String? = null,
    /** The language of the message. */
    public val locale: String? = null,
)

@Serializable
public class SendPhoneRequest(
    @SerialName("phone_number") public val phoneNumber: String,
    @SerialName("organization_id") public val organizationId: String? = null,
    public val source: String? = null,
    public val locale: String? = null,
    /** The caller wants another number than the one of the account. */
    public val change: Boolean? = null,
)

/** What else a right code is to do, where an ordinary sign-in is refused. */
public enum class Way {
    /** Take the change of the number, or the deletion of the account, back. */
    Restore,

    /** Create a new account for the number. */
    FreshAccount,

    /** Ask for the older account of the number, or open it once the wait is over. */
    Recover,
}

/** What a submit may say beside the proof of the number. */
public class SubmitOptions(
    public val way: Way? = null,
    public val signOutOthers: Boolean? = null,
    public val refreshToken: String? = null,
    public val name: String? = null,
    public val imageUrl: String? = null,
    public val source: String? = null,
    public val organizationId: String? = null,
    public val fcmToken: String? = null,
    public val deviceName: String? = null,
)

@Serializable
public class SubmitRequest private constructor(
    @SerialName("phone_number") internal val phoneNumber: String? = null,
    internal val otp: String? = null,
    @SerialName("challenge_id") internal val challengeId: String? = null,
    @SerialName("firebase_id_token") internal val firebaseIdToken: String? = null,
    internal val restore: Boolean? = null,
    @SerialName("fresh_account") internal val freshAccount: Boolean? = null,
    internal val recover: Boolean? = null,
    @SerialName("sign_out_others") internal val signOutOthers: Boolean? = null,
    @SerialName("refresh_token") internal val refreshToken: String? = null,
    internal val name: String? = null,
    @SerialName("image_url") internal val imageUrl: String? = null,
    internal val source: String? = null,
    @SerialName("organization_id") internal val organizationId: String? = null,
    @SerialName("fcm_token") internal val fcmToken: String? = null,
    @SerialName("device_name") internal val deviceName: String? = null,
) {
    public companion object {
        /** Proves the number by the code of a message. */
        public fun ofCode(
            phoneNumber: String,
            otp: String,
            challengeId: String? = null,
            options: SubmitOptions = SubmitOptions(),
        ): SubmitRequest = of(options, phoneNumber, otp, challengeId)

        /** Proves the number by a phone sign-in of Firebase. */
        public fun ofFirebase(
            idToken: String,
            phoneNumber: String? = null,
            options: SubmitOptions = SubmitOptions(),
        ): SubmitRequest = of(options, phoneNumber, firebaseIdToken = idToken)

        private fun of(
            options: SubmitOptions,
            phoneNumber: String?,
            otp: String? = null,
            challengeId: String? = null,
            firebaseIdToken: String? = null,
        ) = SubmitRequest(
            phoneNumber,
            otp,
            challengeId,
            firebaseIdToken,
            restore = true.takeIf { options.way == Way.Restore },
            freshAccount = true.takeIf { options.way == Way.FreshAccount },
            recover = true.takeIf { options.way == Way.Recover },
            options.signOutOthers,
            options.refreshToken,
            options.name,
            options.imageUrl,
            options.source,
            options.organizationId,
            options.fcmToken,
            options.deviceName,
        )
    }
}

@Serializable
public class ValidateRequest(
    @SerialName("phone_number") public val phoneNumber: String,
    public val otp: String,
    /** The caller's own, if they have one. */
    public val username: String? = null,
    @SerialName("challenge_id") public val challengeId: String? = null,
    @SerialName("organization_id") public val organizationId: String? = null,
)

@Serializable
public class RefreshRequest(
    @SerialName("refresh_token") public val refreshToken: String,
)

/** A new value of a member of the profile. `null` removes the stored one. */
@JvmInline
@Serializable
public value class Change(
    public val to: String?,
)

/** Members that are `null` stay as they are. */
@Serializable
public class PatchMeRequest(
    public val name: Change? = null,
    @SerialName("image_url") public val imageUrl: Change? = null,
    /** Needs a fresh access token. */
    public val username: Change? = null,
)

@Serializable
public class FcmTokenRequest(
    @SerialName("fcm_token") public val fcmToken: String? = null,
)

@Serializable
public class ApprovalRequest(
    @SerialName("challenge_id") public val challengeId: String,
)

@Serializable
public class CodeSent(
    public val message: String,
    @SerialName("challenge_id") public val challengeId: String,
    /** Seconds. */
    @SerialName("expires_in") public val expiresIn: Long,
    /** Seconds until another message can be sent. */
    @SerialName("resend_in") public val resendIn: Long,
    @SerialName("attempts_left") public val attemptsLeft: Int,
    /** For people: that no further code comes before this one expires. */
    public val detail: String? = null,
    @SerialName("other_ways") public val otherWays: List<String>? = null,
    /** Seconds until the change of number is made, if it has to wait. */
    @SerialName("change_in") public val changeIn: Long? = null,
)

@Serializable
public class Tokens(
    /** The scheme with which the access token is sent: `Bearer` or `DPoP`. */
    @SerialName("token_type") public val tokenType: String,
    @SerialName("access_token") public val accessToken: String,
    /** Seconds. */
    @SerialName("expires_in") public val expiresIn: Long,
    @SerialName("refresh_token") public val refreshToken: String,
    /** Seconds. */
    @SerialName("refresh_expires_in") public val refreshExpiresIn: Long,
)

/** What came of an undo. */
@Serializable(with = UndoneSerializer::class)
public sealed interface Undone

@Serializable
public class SignedIn(
    @SerialName("token_type") public val tokenType: String,
    @SerialName("access_token") public val accessToken: String,
    @SerialName("expires_in") public val expiresIn: Long,
    @SerialName("refresh_token") public val refreshToken: String,
    @SerialName("refresh_expires_in") public val refreshExpiresIn: Long,
    @SerialName("is_new_user") public val isNewUser: Boolean,
    /** How many other sessions the account has. */
    @SerialName("other_sessions") public val otherSessions: Int? = null,
    public val user: Me,
) : Undone {
    internal val tokens get() = Tokens(tokenType, accessToken, expiresIn, refreshToken, refreshExpiresIn)
}

/** The profile. Times are epoch seconds. */
@Serializable
public class Me(
    @SerialName("user_id") public val userId: String,
    @SerialName("phone_number") public val phoneNumber: String?,
    @SerialName("phone_verified") public val phoneVerified: Boolean,
    public val username: String?,
    public val name: String?,
    @SerialName("image_url") public val imageUrl: String?,
    public val source: String?,
    public val roles: Map<String, List<String>>,
    @SerialName("created_at") public val createdAt: Long,
    @SerialName("last_sign_in_at") public val lastSignInAt: Long,
    /** Soon a code alone will not open the account: ask the person to prove the number by then. */
    @SerialName("phone_proof_due_at") public val phoneProofDueAt: Long? = null,
    @SerialName("phone_change") public val phoneChange: PhoneChange? = null,
    @SerialName("pending_phone_change") public val pendingPhoneChange: PendingPhoneChange? = null,
    public val recovery: Recovery? = null,
) : Undone

/** A change of number that can be taken back. */
@Serializable
public class PhoneChange(
    @SerialName("changed_at") public val changedAt: Long,
    @SerialName("undo_until") public val undoUntil: Long,
)

/** A change of number that waits. */
@Serializable
public class PendingPhoneChange(
    @SerialName("phone_number") public val phoneNumber: String,
    @SerialName("requested_at") public val requestedAt: Long,
    @SerialName("due_at") public val dueAt: Long,
)

/** Whoever has the number asked for the account. */
@Serializable
public class Recovery(
    @SerialName("requested_at") public val requestedAt: Long,
    @SerialName("opens_at") public val opensAt: Long,
    @SerialName("closes_at") public val closesAt: Long,
)

/** What a right code of a verification did. */
@Serializable
public class Validated(
    public val message: String,
    /** Epoch seconds. The change of number waits until then; `null` if it was made. */
    @SerialName("change_due_at") public val changeDueAt: Long? = null,
)

@Serializable
public class Devices(
    public val sessions: List<Device>,
)

/** A signed-in device. Times are epoch seconds. */
@Serializable
public class Device(
    @SerialName("session_id") public val sessionId: String,
    @SerialName("device_name") public val deviceName: String?,
    @SerialName("created_at") public val createdAt: Long,
    @SerialName("last_used_at") public val lastUsedAt: Long,
    @SerialName("expires_at") public val expiresAt: Long,
    @SerialName("has_device_key") public val hasDeviceKey: Boolean,
    public val current: Boolean,
    @SerialName("fcm_token_at") public val fcmTokenAt: Long?,
)

@Serializable
public class FcmTokenRegistered(
    @SerialName("fcm_token_at") public val fcmTokenAt: Long,
)

internal object UndoneSerializer : JsonContentPolymorphicSerializer<Undone>(Undone::class) {
    override fun selectDeserializer(element: JsonElement): DeserializationStrategy<Undone> =
        if ("access_token" in element.jsonObject) SignedIn.serializer() else Me.serializer()
}
