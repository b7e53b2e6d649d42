import tseslint from "typescript-eslint";

export default tseslint.config(
  { ignores: ["**/dist", "**/src/openapi.ts", "**/eslint.config.js", "**/*.mjs"] },
  ...tseslint.configs.strictTypeChecked,
  ...tseslint.configs.stylisticTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      "@typescript-eslint/dot-notation": "off", // contradicts noPropertyAccessFromIndexSignature of the compiler
      "@typescript-eslint/no-floating-promises": [
        "error",
        { allowForKnownSafeCalls: [{ from: "package", name: ["after", "before", "test"], package: "node:test" }] },
      ],
      "@typescript-eslint/require-await": "off", // what an interface wants as a promise may be there already
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
    },
  },
);
