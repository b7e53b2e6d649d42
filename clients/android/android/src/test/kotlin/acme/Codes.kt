package acme

import android.app.Activity
import android.content.Context
import android.content.pm.PackageManager
import google.SmsRetriever
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.launch
import latchkey.SignIn
import latchkey.Sms
import latchkey.android.smsCodes
import latchkey.android.smsConsents

fun fillIn(
    context: Context,
    scope: CoroutineScope,
    flow: SignIn,
    number: String,
) = scope.launch {
    launch { smsCodes(context).collect { flow.submit(it) } }
    SmsRetriever.getClient(context).startSmsRetriever()
    flow.send(number)
}

fun askForMessage(
    activity: Activity,
    scope: CoroutineScope,
) = scope.launch {
    SmsRetriever.getClient(activity).startSmsUserConsent(null)
    // Then codeOfConsent(data) in onActivityResult.
    smsConsents(activity).collect { activity.startActivityForResult(it, 1) }
}

fun appHash(context: Context): String {
    val flags = PackageManager.GET_SIGNING_CERTIFICATES // from API level 28
    val signers = context.packageManager.getPackageInfo(context.packageName, flags).signingInfo!!
    return Sms.appHash(context.packageName, signers.apkContentsSigners.first().toByteArray())
}
