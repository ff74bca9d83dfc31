import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;

/** java.net.http.HttpClient. */
class JavaHttpClient {
    public static void main(String[] arguments) throws Exception {
        HttpClient client = HttpClient.newHttpClient();
        Urls.each(arguments, url -> {
            HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(url));
            if (Urls.BODY != null) request.POST(BodyPublishers.ofString(Urls.BODY));
            return client.send(request.build(), BodyHandlers.ofByteArray()).body();
        });
    }
}
