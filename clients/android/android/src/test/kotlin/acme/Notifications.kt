package acme

import android.app.Activity
import android.app.AlertDialog
import android.app.Notification
import android.app.NotificationChannel
import android.app.NotificationManager
import android.app.PendingIntent
import android.content.Context
import android.content.Intent
import android.os.Bundle
import kotlinx.coroutines.launch
import latchkey.ApprovalRequest
import latchkey.Operation
import latchkey.Problem

private const val CHANNEL = "account"
private const val ID = "id"

/** Shows a text once for each id. A tap opens the activity, which finds the id in its intent. */
fun Context.notify(
    id: String,
    text: String,
    onTap: Class<out Activity>,
) {
    val manager = getSystemService(Context.NOTIFICATION_SERVICE) as NotificationManager
    manager.createNotificationChannel(NotificationChannel(CHANNEL, "Account", NotificationManager.IMPORTANCE_HIGH))
    val intent = Intent(this, onTap).putExtra(ID, id)
    val tap = PendingIntent.getActivity(this, id.hashCode(), intent, PendingIntent.FLAG_IMMUTABLE)
    val notification =
        Notification
            .Builder(this, CHANNEL)
            .setSmallIcon(android.R.drawable.ic_lock_idle_lock)
            .setContentText(text)
            .setContentIntent(tap)
            .setAutoCancel(true)
            .build()
    manager.notify(id, 0, notification)
}

class ApproveActivity : Activity() {
    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        val challenge = intent.getStringExtra(ID) ?: return finish()
        AlertDialog
            .Builder(this)
            .setMessage("Are you signing in on another device?")
            .setPositiveButton("Yes") { _, _ -> approve(challenge) }
            .setNegativeButton("No", null)
            .setOnDismissListener { finish() }
            .show()
    }

    private fun approve(challenge: String) {
        val app = application as Acme
        app.scope.launch {
            try {
                app.session.await().call(Operation.approveSignIn, ApprovalRequest(challenge))
            } catch (_: Problem) {
                // The other device still offers its other ways.
            }
        }
    }
}
