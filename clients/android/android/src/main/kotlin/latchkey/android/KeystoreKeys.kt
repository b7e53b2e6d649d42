// The keys that never leave the device: one that signs proofs, and one that encrypts what is kept.

package latchkey.android

import android.os.Build
import android.security.keystore.KeyGenParameterSpec
import android.security.keystore.KeyProperties
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.withContext
import latchkey.DeviceKey
import latchkey.DeviceKeys
import latchkey.KeyPairDeviceKey
import java.io.IOException
import java.security.GeneralSecurityException
import java.security.KeyPair
import java.security.KeyPairGenerator
import java.security.KeyStore
import java.security.PrivateKey
import java.security.ProviderException
import java.security.spec.ECGenParameterSpec
import javax.crypto.KeyGenerator
import javax.crypto.SecretKey

private const val KEYSTORE = "AndroidKeyStore"
private const val AES_BITS = 256

/** A key in the Keystore: in StrongBox where the device has one, otherwise in its trusted environment. */
public class KeystoreKeys(
    private val alias: String,
) : DeviceKeys {
    override suspend fun find(): DeviceKey? = onKeystore { load() }

    override suspend fun findOrMake(): DeviceKey? = unlessItFails { load() ?: KeyPairDeviceKey(make()) }

    /** The Keystore puts the new key in the place of the older one once it has made it. */
    override suspend fun replace(): DeviceKey? = unlessItFails { KeyPairDeviceKey(make()) }

    private fun load(): DeviceKey? {
        val keystore = keystore()
        val key = keystore.getKey(alias, null) as PrivateKey? ?: return null
        return KeyPairDeviceKey(KeyPair(keystore.getCertificate(alias).publicKey, key))
    }

    private fun make(): KeyPair {
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.P) {
            try {
                return generated(specification().setIsStrongBoxBacked(true))
            } catch (_: ProviderException) {
                // Most devices have none: StrongBoxUnavailableException. Some have one that fails.
            }
        }
        return generated(specification())
    }

    private fun specification() =
        KeyGenParameterSpec
            .Builder(alias, KeyProperties.PURPOSE_SIGN)
            .setAlgorithmParameterSpec(ECGenParameterSpec("secp256r1"))
            .setDigests(KeyProperties.DIGEST_SHA256)

    private fun generated(specification: KeyGenParameterSpec.Builder): KeyPair {
        val generator = KeyPairGenerator.getInstance(KeyProperties.KEY_ALGORITHM_EC, KEYSTORE)
        generator.initialize(specification.build())
        return generator.generateKeyPair()
    }

    /**
     * A Keystore that fails for a moment must not cost the key that it has: then no other one is made, and the request goes
     * without a proof.
     */
    private suspend fun unlessItFails(work: () -> DeviceKey?): DeviceKey? =
        try {
            onKeystore(work)
        } catch (_: IOException) {
            null
        }

    private suspend fun onKeystore(work: () -> DeviceKey?): DeviceKey? =
        withContext(Dispatchers.IO) {
            try {
                work()
            } catch (failure: GeneralSecurityException) {
                throw IOException(failure)
            } catch (failure: ProviderException) {
                throw IOException(failure)
            }
        }
}

private fun keystore(): KeyStore = KeyStore.getInstance(KEYSTORE).apply { load(null) }

/** The key that encrypts what is kept. */
internal fun sealingKey(alias: String): SecretKey {
    (keystore().getKey(alias, null) as SecretKey?)?.let { return it }
    val purposes = KeyProperties.PURPOSE_ENCRYPT or KeyProperties.PURPOSE_DECRYPT
    val specification =
        KeyGenParameterSpec
            .Builder(alias, purposes)
            .setBlockModes(KeyProperties.BLOCK_MODE_GCM)
            .setEncryptionPaddings(KeyProperties.ENCRYPTION_PADDING_NONE)
            .setKeySize(AES_BITS)
            .build()
    return KeyGenerator
        .getInstance(KeyProperties.KEY_ALGORITHM_AES, KEYSTORE)
        .apply { init(specification) }
        .generateKey()
}
