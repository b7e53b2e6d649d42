// The signatures of Google's libraries that README.md uses, because they are in Google's own repository alone:
// https://firebase.google.com/docs/reference/android/com/google/firebase/messaging/FirebaseMessagingService
// https://developers.google.com/android/reference/com/google/android/gms/auth/api/phone/SmsRetrieverClient

package google

import android.app.Service
import android.content.Context
import android.content.Intent
import android.os.IBinder

abstract class FirebaseMessagingService : Service() {
    open fun onNewToken(token: String) {}

    open fun onMessageReceived(message: RemoteMessage) {}

    override fun onBind(intent: Intent): IBinder? = null
}

interface RemoteMessage {
    val data: Map<String, String>
}

interface SmsRetrieverClient {
    fun startSmsRetriever()

    fun startSmsUserConsent(sender: String?)
}

object SmsRetriever {
    fun getClient(context: Context): SmsRetrieverClient = throw UnsupportedOperationException(context.packageName)
}
