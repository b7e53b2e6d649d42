import { Api } from "latchkey-web";

const api = new Api("http://127.0.0.1:3000");
const answer = await api.call(
  "submitOtp",
  {
    phone_number: "+9779841234567",
    otp: "042917",
    challenge_id: "chl_01jd8x4n5t2qvzk7w3m9hpa6rc",
    device_name: "Pixel 9",
  },
  { idempotencyKey: "5f0c3a52-7d0e-4f0e-9a37-1f0b7c1f7a11" },
);
console.log(answer);
