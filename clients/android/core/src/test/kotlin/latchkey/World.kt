// A Latchkey of its own for each class of tests, and a wire to it that loses answers and answers as API Gateway does.

package latchkey

import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.delay
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.JsonPrimitive
import kotlinx.serialization.json.buildJsonObject
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import kotlinx.serialization.json.put
import java.io.Closeable
import java.io.File
import java.io.IOException
import java.net.URLEncoder
import java.util.concurrent.ConcurrentHashMap
import java.util.concurrent.CopyOnWriteArrayList
import java.util.concurrent.atomic.AtomicInteger
import kotlin.test.assertEquals
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds

/** The folder of the whole project. */
val project: File = File("../../..").canonicalFile

/** A running `cargo local`, in memory. */
class World private constructor(
    private val process: Process,
    val base: String,
) : Closeable {
    suspend fun advance(seconds: Long) {
        local("POST", "/clock", buildJsonObject { put("advance_seconds", seconds) })
    }

    /** The code of the newest message. */
    suspend fun code(to: String): String {
        val inbox = local("GET", "/inbox?to=${URLEncoder.encode(to, "UTF-8")}")
        val newest = inbox.getValue("messages").jsonArray.first()
        return Sms.code(
            newest.jsonObject
                .getValue("text")
                .jsonPrimitive.content,
        )!!
    }

    /** The data of the newest push of a type. Notices are sent a moment after what they tell of. */
    suspend fun push(type: String): Map<String, String> =
        withTimeout(5.seconds) {
            var found: Map<String, String>? = null
            while (found == null) {
                delay(10.milliseconds)
                val pushes =
                    local(
                        "GET",
                        "/pushes",
                    ).getValue("pushes").jsonArray.map { it.jsonObject.getValue("data").jsonObject }
                val newest = pushes.find { it["type"]?.jsonPrimitive?.content == type }
                found = newest?.mapValues { (_, value) -> value.jsonPrimitive.content }
            }
            found
        }

    override fun close() {
        process.destroy()
    }

    private suspend fun local(
        method: String,
        path: String,
        body: JsonObject? = null,
    ): JsonObject {
        val headers = mapOf("content-type" to "application/json")
        val content = body?.toString()?.encodeToByteArray()
        val response = httpOfTheJvm().exchange(HttpRequest(method, "$base/local$path", headers, content))
        check(response.status == 200) { response.text }
        return json.parseToJsonElement(response.text).jsonObject
    }

    companion object {
        fun start(template: File = File(project, "template.yaml")): World {
            val program =
                checkNotNull(System.getenv("LATCHKEY_LOCAL")) { "LATCHKEY_LOCAL must be the path of latchkey-local" }
            val announced = File.createTempFile("announced", ".json").apply { delete() }
            val ports = listOf("--port", "0", "--dynamodb-port", "0", "--aws-port", "0", "--announce", announced.path)
            val process =
                ProcessBuilder(listOf(program, "--ephemeral", "--template", template.path) + ports)
                    .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                    .redirectError(ProcessBuilder.Redirect.INHERIT)
                    .start()
            while (!announced.exists()) {
                check(process.isAlive) { "$program did not start" }
                Thread.sleep(10)
            }
            val announcement = json.parseToJsonElement(announced.readText()).jsonObject
            announced.delete()
            return World(process, announcement.getValue("api").jsonPrimitive.content)
        }
    }
}

private val numbers = AtomicInteger()

/** E.164. Another one for each test, because a second code for the same number has to wait. */
fun newNumber(): String = "+97798412%05d".format(numbers.incrementAndGet())

/** A request that went through a wire, and the status of its answer, also of one that was lost. */
class Passed(
    val route: String,
    val request: HttpRequest,
) {
    @Volatile
    var status = 0
}

class Wire : Http {
    private val http = httpOfTheJvm()
    private val fates = CopyOnWriteArrayList<Pair<String, HttpResponse?>>()
    val passed = CopyOnWriteArrayList<Passed>()

    /** The server does what was asked, and the answer is lost. */
    fun loseAnswer(
        route: String,
        times: Int = 1,
    ) {
        repeat(times) { fates += Pair(route, null) }
    }

    /** By default with a body as API Gateway's own. */
    fun answer(
        route: String,
        status: Int,
        body: String = """{"message":"Too Many Requests"}""",
        times: Int = 1,
    ) {
        repeat(times) { fates += Pair(route, HttpResponse(status, emptyMap(), body.encodeToByteArray())) }
    }

    /** What another server answers, by the method and the whole URL. */
    val answers = ConcurrentHashMap<String, HttpResponse>()

    class Held {
        val asked = CompletableDeferred<Unit>()
        val answer = CompletableDeferred<Unit>()
    }

    private val held = ConcurrentHashMap<String, Held>()

    /** Holds the next request of a route until `answer` is complete. */
    fun hold(route: String) = Held().also { held[route] = it }

    fun count(
        route: String,
        status: Int? = null,
    ) = passed.count { it.route == route && (status == null || status == it.status) }

    override suspend fun exchange(request: HttpRequest): HttpResponse {
        val route = "${request.method} ${request.url.replace(Regex("^http://[^/]+"), "")}"
        val passing = Passed(route, request).also { passed += it }
        held.remove(route)?.let {
            it.asked.complete(Unit)
            it.answer.await()
        }
        answers["${request.method} ${request.url}"]?.let { return it }
        val fate = fates.find { it.first == route }
        if (fate != null) fates.remove(fate)
        val response = fate?.second ?: http.exchange(request)
        passing.status = response.status
        if (fate != null && fate.second == null) throw IOException("the answer is lost")
        return response
    }
}

/** An installation of the app. */
class TestDevice(
    private val world: World,
    val wire: Wire = Wire(),
    val store: Store = MemoryStore(),
    val keys: DeviceKeys = SoftwareKeys(),
) {
    var aheadSeconds = 0L
    lateinit var session: Session

    suspend fun start(vararg origins: String): TestDevice {
        val clock = { System.currentTimeMillis() + aheadSeconds * 1000 }
        session = Session.open(world.base, store, keys, origins.toList(), wire, clock = clock)
        return this
    }

    suspend fun signIn(number: String = newNumber()): TestDevice {
        val flow = SignIn(session)
        flow.send(number)
        flow.submit(world.code(number))
        check(flow.state.value.step is SignInState.Done) { flow.state.value.problem ?: "not signed in" }
        return this
    }
}

fun test(work: suspend () -> Unit) = runBlocking { work() }

/** The problem with which something fails. */
suspend fun problem(
    code: ProblemCode,
    work: suspend () -> Any?,
): Problem =
    try {
        work()
        throw AssertionError("it succeeded")
    } catch (problem: Problem) {
        assertEquals(code, problem.code)
        problem
    }

fun refusal(
    code: ProblemCode,
    retryAfter: Long? = null,
): String =
    buildJsonObject {
        put("code", code.text)
        put("detail", JsonPrimitive("A sentence."))
        retryAfter?.let { put("retry_after", it) }
    }.toString()
