// What an app needs to know of the messages, so that nobody has to type a code.

package latchkey

import java.security.MessageDigest
import kotlin.io.encoding.Base64

public object Sms {
    private const val HASHED_BYTES = 9
    private const val HASH_CHARACTERS = 11

    // On the line for a domain, `@acme.example #123456`, or else in the sentence. The app's hash comes after both.
    private val boundCode = Regex("@\\S+ #(\\d{6})\\b")
    private val code = Regex("(?<!\\d)(\\d{6})(?!\\d)")

    /** The code in a message of Latchkey. */
    public fun code(message: String): String? = (boundCode.find(message) ?: code.find(message))?.groupValues?.get(1)

    /**
     * The value of `AndroidAppHash` in Latchkey's configuration, by which the SMS Retriever finds the app of a message.
     *
     * @param certificate the certificate, in DER, with which the installed app is signed. If Google Play signs the app, it is
     * Google's.
     */
    public fun appHash(
        packageName: String,
        certificate: ByteArray,
    ): String {
        val hexadecimal = certificate.joinToString("") { "%02x".format(it) }
        val hash = MessageDigest.getInstance("SHA-256").digest("$packageName $hexadecimal".encodeToByteArray())
        return Base64.encode(hash, 0, HASHED_BYTES).take(HASH_CHARACTERS)
    }
}
