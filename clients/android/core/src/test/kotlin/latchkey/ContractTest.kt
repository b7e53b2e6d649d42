// Compares the bodies, operations and problems with openapi.yaml. They are written by hand, because the generators for Kotlin
// bring an HTTP client and names of their own, and because what an app may say at once is a rule that no schema has.

package latchkey

import kotlinx.serialization.builtins.serializer
import kotlinx.serialization.descriptors.PrimitiveKind
import kotlinx.serialization.descriptors.SerialDescriptor
import kotlinx.serialization.descriptors.StructureKind
import kotlinx.serialization.descriptors.elementNames
import org.yaml.snakeyaml.Yaml
import java.io.File
import java.lang.reflect.Modifier
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertTrue

private typealias Schema = Map<String, Any?>

/** A member of an object, and whether it is always there. */
private class Member(
    val isRequired: Boolean,
    val schema: Schema,
)

@Suppress("UNCHECKED_CAST")
class ContractTest {
    private val document: Schema = Yaml().load(File(project, "openapi.yaml").readText())
    private val schemas = child(child(document, "components"), "schemas")

    private fun child(
        of: Schema,
        name: String,
    ) = of.getValue(name) as Schema

    private fun resolved(of: Schema): Schema {
        val reference = of["\$ref"] as String? ?: return of
        return resolved(reference.removePrefix("#/").split('/').fold(document, ::child))
    }

    private fun parts(
        of: Schema,
        keyword: String,
    ) = (of[keyword] as List<Schema>?).orEmpty().map(::resolved)

    private fun members(of: Schema): Map<String, Member> {
        val schema = resolved(of)
        val required = (schema["required"] as List<String>?).orEmpty()
        val own =
            (schema["properties"] as Schema?).orEmpty().mapValues { (name, value) ->
                Member(name in required, value as Schema)
            }
        val all = parts(schema, "allOf").map(::members).fold(own) { sum, part -> sum + part }
        val choices = (parts(schema, "oneOf") + parts(schema, "anyOf")).map(::members)
        return all + oneOf(choices)
    }

    /** Of choices, a member is required if it is in each. */
    private fun oneOf(choices: List<Map<String, Member>>) =
        choices.flatMap { it.keys }.distinct().associateWith { name ->
            val found = choices.mapNotNull { it[name] }
            Member(found.size == choices.size && found.all { it.isRequired }, found.first().schema)
        }

    private fun isNullable(of: Schema): Boolean {
        val schema = resolved(of)
        return (schema["type"] as? List<*>).orEmpty().contains("null") || schema["type"] == "null" ||
            parts(schema, "oneOf").any(::isNullable)
    }

    private fun typeOf(of: Schema): String {
        val schema = resolved(of)
        val choice = parts(schema, "oneOf").firstOrNull { it["type"] != "null" }
        val type = (schema["type"] as? List<*>)?.first { it != "null" } ?: schema["type"] ?: choice?.let(::typeOf)
        val value = schema["const"] ?: (schema["enum"] as List<*>?)?.first()
        return type as String? ?: when (value) {
            is Boolean -> "boolean"
            is Int -> "integer"
            else -> "string"
        }
    }

    private fun compareType(
        at: String,
        schema: Schema,
        written: SerialDescriptor,
    ) {
        val descriptor = if (written.isInline) written.getElementDescriptor(0) else written
        val expected =
            when (descriptor.kind) {
                PrimitiveKind.STRING -> "string"
                PrimitiveKind.INT, PrimitiveKind.LONG -> "integer"
                PrimitiveKind.BOOLEAN -> "boolean"
                StructureKind.LIST -> "array"
                else -> "object"
            }
        assertEquals(typeOf(schema), expected, at)
        val inner = resolved(schema)
        when (descriptor.kind) {
            StructureKind.LIST -> {
                compareType("$at[]", child(inner, "items"), descriptor.getElementDescriptor(0))
            }

            StructureKind.MAP -> {
                compareType("$at{}", child(inner, "additionalProperties"), descriptor.getElementDescriptor(1))
            }

            StructureKind.CLASS -> {
                compare(at, members(schema), descriptor, isAnswer = true)
            }

            else -> {}
        }
    }

    private fun compare(
        at: String,
        members: Map<String, Member>,
        written: SerialDescriptor,
        isAnswer: Boolean,
    ) {
        assertEquals(members.keys.sorted(), written.elementNames.sorted(), at)
        for ((name, member) in members) {
            val index = written.getElementIndex(name)
            val element = written.getElementDescriptor(index)
            assertEquals(!member.isRequired, written.isElementOptional(index), "$at.$name is optional")
            // The client says nothing where it could say null, except for a change of the profile.
            if (isAnswer) {
                assertEquals(isNullable(member.schema) || !member.isRequired, element.isNullable, "$at.$name is null")
            } else if (element.isInline) {
                assertTrue(isNullable(member.schema) && element.getElementDescriptor(0).isNullable, "$at.$name")
            }
            compareType("$at.$name", member.schema, element)
        }
    }

    private class Stated(
        val route: String,
        val operation: Schema,
    )

    private val stated =
        child(document, "paths")
            .flatMap { (path, methods) ->
                (methods as Schema)
                    .filterValues { it is Map<*, *> && "operationId" in it }
                    .map { (method, operation) -> Stated("${method.uppercase()} $path", operation as Schema) }
            }.associateBy { it.operation.getValue("operationId") as String }

    private fun jsonOf(of: Schema) =
        ((resolved(of)["content"] as Schema?)?.get("application/json") as Schema?)?.let { child(it, "schema") }

    @Test
    fun `the operations are those of openapi_yaml`() {
        // The keys with which a backend verifies tokens are nothing for an app.
        val forApps = stated - setOf("getJwks", "getOpenidConfiguration")
        assertEquals(
            forApps.mapValues { it.value.route },
            Operation.all.associate { it.id to "${it.method} ${it.path}" },
        )
    }

    @Test
    fun `requests have the members of openapi_yaml`() {
        for (operation in Operation.all) {
            val schema = (stated.getValue(operation.id).operation["requestBody"] as Schema?)?.let(::jsonOf)
            val written = operation.body.descriptor
            if (schema == null) {
                assertTrue(
                    written in listOf(Unit.serializer().descriptor, String.serializer().descriptor),
                    operation.id,
                )
                assertEquals('{' in operation.path, written == String.serializer().descriptor, operation.id)
                continue
            }
            val members = members(schema).toMutableMap()
            if (operation.id == "validatePhoneOtp") {
                // An older name of the number, for older apps. One of the two is required.
                members -= "phone"
                members["phone_number"] = Member(isRequired = true, members.getValue("phone_number").schema)
            }
            compare(operation.id, members, written, isAnswer = false)
        }
    }

    @Test
    fun `answers have the members of openapi_yaml`() {
        for (operation in Operation.all) {
            val responses = child(stated.getValue(operation.id).operation, "responses")
            val successes = responses.filterKeys { it.startsWith("2") }.values.map { jsonOf(it as Schema) }
            val written = operation.answer.descriptor
            if (written == Unit.serializer().descriptor) {
                assertEquals(listOf<Schema?>(null), successes, operation.id)
            } else if (operation.id == "undoPhoneChange") {
                val (signedIn, me) = parts(successes.single()!!, "anyOf")
                compare("undo by a code", members(signedIn), SignedIn.serializer().descriptor, isAnswer = true)
                compare("undo by a session", members(me), Me.serializer().descriptor, isAnswer = true)
            } else {
                val members = oneOf(successes.map { members(it!!) })
                compare(operation.id, members, written, isAnswer = true)
            }
        }
    }

    @Test
    fun `problems have the codes and the members of openapi_yaml`() {
        val problems = schemas.filterKeys { it.endsWith("Problem") }.values.map { members(it as Schema) }
        val codes = problems.map { it.getValue("code").schema.getValue("const") as String }
        val ofTheClient =
            setOf(
                "gateway_throttled",
                "gateway_failed",
                "gateway_refused",
                "no_answer",
                "timed_out",
                "signed_out",
                "key_failed",
            )
        // A value class of a text is that text on the JVM.
        val written =
            ProblemCode::class.java.declaredFields
                .filter { Modifier.isStatic(it.modifiers) && it.type == String::class.java }
                .map { it.apply { isAccessible = true }.get(null) as String }
        assertEquals((codes + ofTheClient).sorted(), written.sorted())
        val optional = oneOf(problems).mapValues { (_, member) -> Member(isRequired = false, member.schema) }
        compare("problem", optional, ProblemBody.serializer().descriptor, isAnswer = true)
    }
}
