// The device's key, and proofs that a request comes from it (DPoP, RFC 9449).

package latchkey

import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.withContext
import kotlinx.serialization.json.buildJsonObject
import kotlinx.serialization.json.put
import kotlinx.serialization.json.putJsonObject
import java.io.IOException
import java.math.BigInteger
import java.security.GeneralSecurityException
import java.security.KeyPair
import java.security.MessageDigest
import java.security.ProviderException
import java.security.SecureRandom
import java.security.Signature
import java.security.interfaces.ECPublicKey
import kotlin.io.encoding.Base64

private const val COORDINATE_BYTES = 32
private const val JTI_BYTES = 16

/** An ECDSA key on P-256. */
public interface DeviceKey {
    /** x, then y, 32 bytes each. */
    public val point: ByteArray

    /**
     * The signature of the bytes' SHA-256: r, then s, 32 bytes each.
     *
     * @throws GeneralSecurityException if the key does not sign.
     */
    @Throws(GeneralSecurityException::class)
    public suspend fun sign(bytes: ByteArray): ByteArray
}

/** Where the device keeps its key. It is made before the first sign-in, and kept after a sign-out. */
public interface DeviceKeys {
    /**
     * `null` if there is none.
     *
     * @throws IOException if it cannot be told now.
     */
    @Throws(IOException::class)
    public suspend fun find(): DeviceKey?

    /** `null` if this device cannot make a key. Sessions are then not bound to it. */
    public suspend fun findOrMake(): DeviceKey?

    /** Makes another key in the place of one that does not sign. `null` if that fails: then the one that was there stays. */
    public suspend fun replace(): DeviceKey?
}

/** A key of the Java Cryptography Architecture, such as one in Android's Keystore. */
public class KeyPairDeviceKey(
    private val pair: KeyPair,
) : DeviceKey {
    override val point: ByteArray =
        (pair.public as ECPublicKey).w.let { coordinate(it.affineX) + coordinate(it.affineY) }

    override suspend fun sign(bytes: ByteArray): ByteArray =
        // Hardware takes up to a second.
        withContext(Dispatchers.IO) {
            try {
                val signature = Signature.getInstance("SHA256withECDSA")
                signature.initSign(pair.private)
                signature.update(bytes)
                joined(signature.sign())
            } catch (failure: ProviderException) {
                throw GeneralSecurityException(failure)
            }
        }
}

private fun coordinate(number: BigInteger): ByteArray {
    // Two's complement: a leading zero where the first bit is set, and fewer bytes for a small number.
    val bytes = number.toByteArray()
    val digits = bytes.copyOfRange(maxOf(0, bytes.size - COORDINATE_BYTES), bytes.size)
    return ByteArray(COORDINATE_BYTES - digits.size) + digits
}

/** DER's `SEQUENCE { INTEGER r, INTEGER s }` as r and s of a fixed length (RFC 7518, section 3.4). */
internal fun joined(der: ByteArray): ByteArray {
    fun integer(at: Int) = BigInteger(der.copyOfRange(at + 2, at + 2 + der[at + 1]))
    val r = 2
    val s = r + 2 + der[r + 1]
    return coordinate(integer(r)) + coordinate(integer(s))
}

/** Base64url without padding (RFC 7515). */
private val base64Url = Base64.UrlSafe.withPadding(Base64.PaddingOption.ABSENT_OPTIONAL)
private val random = SecureRandom()

internal fun randomText(bytes: Int): String = base64Url.encode(ByteArray(bytes).also(random::nextBytes))

/**
 * The header `DPoP` of one request.
 *
 * @param atSeconds the server's time. It refuses a proof that is five minutes off.
 * @param accessToken the token in `Authorization`, if there is one.
 */
internal suspend fun prove(
    key: DeviceKey,
    method: String,
    url: String,
    atSeconds: Long,
    accessToken: String? = null,
): String {
    val header =
        buildJsonObject {
            put("typ", "dpop+jwt")
            put("alg", "ES256")
            putJsonObject("jwk") {
                put("kty", "EC")
                put("crv", "P-256")
                put("x", base64Url.encode(key.point, 0, COORDINATE_BYTES))
                put("y", base64Url.encode(key.point, COORDINATE_BYTES, 2 * COORDINATE_BYTES))
            }
        }
    val claims =
        buildJsonObject {
            put("jti", randomText(JTI_BYTES))
            put("htm", method)
            put("htu", url.substringBefore('#').substringBefore('?'))
            put("iat", atSeconds)
            accessToken?.let {
                put("ath", base64Url.encode(MessageDigest.getInstance("SHA-256").digest(it.encodeToByteArray())))
            }
        }
    val signed = listOf(header, claims).joinToString(".") { base64Url.encode(it.toString().encodeToByteArray()) }
    return "$signed.${base64Url.encode(key.sign(signed.encodeToByteArray()))}"
}

/**
 * What a JWT says, without a check of its signature: for the client's own use only.
 *
 * @throws Problem for what is none: then somebody else than Latchkey answered.
 */
internal inline fun <reified Part> claimsOf(jwt: String): Part =
    try {
        json.decodeFromString(base64Url.decode(jwt.split('.').getOrElse(1) { "" }).decodeToString())
    } catch (failure: IllegalArgumentException) {
        throw Problem(ProblemCode.GatewayFailed, cause = failure)
    }
