import okhttp3.OkHttpClient;
import okhttp3.Request;
import okhttp3.RequestBody;
import okhttp3.Response;

/** OkHttp. */
class OkHttp {
    public static void main(String[] arguments) throws Exception {
        OkHttpClient client = new OkHttpClient();
        Urls.each(arguments, url -> {
            Request.Builder request = new Request.Builder().url(url);
            if (Urls.BODY != null) request.post(RequestBody.create(null, Urls.BODY));
            try (Response response = client.newCall(request.build()).execute()) {
                return response.body().bytes();
            }
        });
    }
}
