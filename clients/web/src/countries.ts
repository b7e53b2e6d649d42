// Calling codes, each with its countries, the main one first. From Google's libphonenumber 9, without satellite networks.

/** A capital begins the next code, or the one that is written. */
const table =
  "1Usagaiasbbbmbscadmdogdgujmknkylcmpmsprsxtcttvcvgvi7Rukz20Eg27Za30GrNlBeFrEs36Hu39ItvaRoCh43AtGbggimjeDkSeNosjPlDe51PeMxCuArBrClCoVe60MyAucccxIdPhNzSgTh81JpKr84Vn86Cn90TrInPkAfLkMm98Ir211SsMaehDz216Tn218Ly220GmSnMrMlGnCiBfNeTgBjMuLrSlGhNgTdCfCmCvStGqGaCgCdAoGwIoAcScSdRwEtSoDjKeTzUgBiMz260ZmMgReytZwNaMwLsBwSzKm290ShtaEr297AwFoGl350GiPtLuIeIsAlMtCyFiaxBg370LtLvEeMdAmByAdMcSm380UaRsMeXk385HrSiBa389Mk420CzSk423Li500FkBzGtSvHnNiCrPaPmHt590GpblmfBoGyEcGfPyMqSrUyCwbq670Tl672NfBnNrPgToSbVuFjPwWfCkNu685WsKiNcTvPfTkFmMh850Kp852HkMo855KhLa880Bd886Tw960MvLbJoSyIqKwSaYeOm970PsAeIlBhQaBtMnNp992TjTmAzGeKg998Uz";

let next = 0;
/** The calling code of each country, by its ISO 3166 code. */
export const callingCodes: ReadonlyMap<string, string> = new Map(
  [...table.matchAll(/(\d*)([A-Z][a-z]+)/g)].flatMap(([, code = "", countries = ""]) => {
    next = Number(code) || next + 1;
    return (countries.toUpperCase().match(/../g) ?? []).map((country) => [country, String(next)] as const);
  }),
);

/** The country of a number that was typed with its calling code. */
export function countryOf(typed: string, listed: readonly string[]): string | undefined {
  const digits = typed.replace(/[^\d+]/g, "");
  return listed.find((country) => digits.startsWith(`+${callingCodes.get(country)}`));
}

/** A number as it was typed, in digits of any script, with the calling code of the country that was chosen. */
export function international(typed: string, country: string): string {
  if (/^\s*(\+|00)/.test(typed)) return typed;
  const digits = typed.replace(/\P{Nd}/gu, "");
  const code = callingCodes.get(country) ?? "";
  // No national number has more digits: the code was typed without its plus.
  return digits.length > 11 && digits.startsWith(code) ? `+${digits}` : `+${code} ${digits}`;
}
