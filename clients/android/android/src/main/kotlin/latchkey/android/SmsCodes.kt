// The codes of messages, from Google Play services and without the permission to read messages. The names are those of
// https://developers.google.com/android/reference/com/google/android/gms/auth/api/phone/SmsRetriever: its library starts the
// wait for a message, and an intent brings it.

package latchkey.android

import android.content.BroadcastReceiver
import android.content.Context
import android.content.Intent
import android.content.IntentFilter
import android.os.Build
import kotlinx.coroutines.channels.awaitClose
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.callbackFlow
import kotlinx.coroutines.flow.mapNotNull
import latchkey.Sms

private const val RETRIEVED = "com.google.android.gms.auth.api.phone.SMS_RETRIEVED"
private const val MESSAGE = "com.google.android.gms.auth.api.phone.EXTRA_SMS_MESSAGE"
private const val PLAY_SERVICES = "com.google.android.gms"
private const val CONSENT = "com.google.android.gms.auth.api.phone.EXTRA_CONSENT_INTENT"

/**
 * Where Google Play services is installed, it alone has it. On a device without it, another app can define the permission and
 * pretend that there is a message. It then has a code submitted that is wrong.
 */
private const val SENDER_PERMISSION = "com.google.android.gms.auth.api.phone.permission.SEND"

/** The codes of messages that end with the app's hash. Call `startSmsRetriever` before each send of a code. */
public fun smsCodes(context: Context): Flow<String> =
    retrieved(context).mapNotNull { it.getStringExtra(MESSAGE)?.let(Sms::code) }

/**
 * A question to the person, for each message that has a code: start it for a result, and give that to [codeOfConsent]. It needs
 * no hash. Call `startSmsUserConsent` before each send of a code.
 */
public fun smsConsents(context: Context): Flow<Intent> =
    retrieved(context).mapNotNull {
        val consent: Intent? =
            if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.TIRAMISU) {
                it.getParcelableExtra(CONSENT, Intent::class.java)
            } else {
                @Suppress("DEPRECATION")
                it.getParcelableExtra(CONSENT)
            }
        consent?.takeIf { asked -> asksPlayServices(context, asked) }
    }

/** Another app could name an activity that is this app's own, and closed to it. */
private fun asksPlayServices(
    context: Context,
    consent: Intent,
): Boolean {
    // A selector would be started in the place of the intent.
    if (consent.selector != null) return false
    val named = consent.component?.packageName ?: consent.`package`
    return PLAY_SERVICES == (named ?: consent.resolveActivity(context.packageManager)?.packageName)
}

/** The code of the message that the person allowed the app to read. */
public fun codeOfConsent(result: Intent?): String? = result?.getStringExtra(MESSAGE)?.let(Sms::code)

private fun retrieved(context: Context): Flow<Intent> =
    callbackFlow {
        val receiver =
            object : BroadcastReceiver() {
                override fun onReceive(
                    context: Context,
                    intent: Intent,
                ) {
                    trySend(intent)
                }
            }
        val filter = IntentFilter(RETRIEVED)
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.TIRAMISU) {
            context.registerReceiver(receiver, filter, SENDER_PERMISSION, null, Context.RECEIVER_EXPORTED)
        } else {
            context.registerReceiver(receiver, filter, SENDER_PERMISSION, null)
        }
        awaitClose { context.unregisterReceiver(receiver) }
    }
